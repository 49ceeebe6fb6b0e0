/** The CLI from source, as a user would run it. */
import { fileURLToPath } from 'node:url'
import { type Exit, type StdioPeer, spawnPeer } from './stdio-peer.ts'
import { Inbox, within } from './wait.ts'

const ENTRY = fileURLToPath(new URL('../../bin/catflap.ts', import.meta.url))

export type JsonEvent = Record<string, unknown>

export interface CatflapOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** Default 15000: TypeScript is stripped at start. */
  readonly startTimeoutMs?: number
  /** Another file to run in place of bin/catflap.ts. */
  readonly entry?: string
  /** Default true: appends `--log-format json`; without it nothing but `proc`, `stdout` and `stderr` has content. */
  readonly json?: boolean
}

/** A run of the CLI, whether or not it listens. */
export interface CatflapRun extends Omit<StdioPeer, 'close'> {
  /** The JSON objects on stderr, in order. */
  readonly events: Inbox<JsonEvent>
  /** SIGTERM, then the way it ended; SIGKILL and an error if that takes longer than `timeoutMs` (default 10000). */
  close(timeoutMs?: number): Promise<Exit>
  kill9(): Promise<Exit>
}

export interface Catflap extends CatflapRun {
  /** From the `listening` event. */
  readonly url: string
  readonly target: string
}

/** Starts without waiting for anything: for `--stdio`, for wrong usage, for commands that end. */
export function runCatflap(args: readonly string[], options: CatflapOptions = {}): CatflapRun {
  const { entry = ENTRY, json = true, env, cwd } = options
  const peer = spawnPeer([process.execPath, '--no-warnings', entry, ...withLogFormat(args, json)], { env, cwd })
  const events = new Inbox<JsonEvent>('JSON events on stderr')
  const read = (line: string) => {
    if (!line.startsWith('{')) return
    try {
      events.push(JSON.parse(line) as JsonEvent)
    } catch {
      // A line of text that happens to begin like JSON stays what it is: a line in `stderr`.
    }
  }
  const push = peer.stderr.push.bind(peer.stderr)
  peer.stderr.push = line => {
    push(line)
    read(line)
  }
  void peer.exit
    .then(({ code, signal }) => events.end(`exit ${code ?? signal}`))
    .catch(error => events.end(String(error)))
  return {
    ...peer,
    events,
    async close(timeoutMs = 10_000) {
      peer.proc.kill('SIGTERM')
      return within(peer.exit, { timeoutMs, what: `catflap to end after SIGTERM; ${printed(peer)}` }).catch(
        async error => {
          peer.proc.kill('SIGKILL')
          await peer.exit
          throw error
        }
      )
    },
    kill9() {
      peer.proc.kill('SIGKILL')
      return peer.exit
    }
  }
}

/** Starts and waits until it listens; fails with everything printed so far if it does not. */
export async function startCatflap(args: readonly string[], options: CatflapOptions = {}): Promise<Catflap> {
  const run = runCatflap(args, options)
  const isListening = (event: JsonEvent) => event.event === 'listening'
  try {
    const { url, target } = await run.events.until(isListening, { timeoutMs: options.startTimeoutMs ?? 15_000 })
    return { ...run, url: String(url), target: String(target) }
  } catch (error) {
    await run.kill9()
    throw new Error(`catflap ${args.join(' ')} did not listen; ${printed(run)}`, { cause: error })
  }
}

/** Before `--`, where the command of a stdio target begins. */
function withLogFormat(args: readonly string[], json: boolean): string[] {
  if (!json) return [...args]
  const dashes = args.indexOf('--')
  const at = dashes < 0 ? args.length : dashes
  return [...args.slice(0, at), '--log-format', 'json', ...args.slice(at)]
}

function printed({ stdout, stderr, proc }: Pick<StdioPeer, 'stdout' | 'stderr' | 'proc'>): string {
  const how = proc.exitCode ?? proc.signalCode ?? 'running'
  return `status: ${how}\nstdout:\n${stdout.items.join('\n')}\nstderr:\n${stderr.items.join('\n')}`
}
