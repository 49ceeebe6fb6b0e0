/** A door in front of a stdio server, with the client on HTTP or on a pair of pipes; everything torn down and counted. */
import { PassThrough } from 'node:stream'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { createForward, type Forward, type ForwardOptions, type Log, type LogFacts } from '../../src/index.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { openSse, rawPost, type SseStream } from '../helpers/raw-client.ts'
import { initialize, legacyHeaders } from '../helpers/rpc.ts'
import { fixtureArgv, readLines, type StdioFixture } from '../helpers/stdio-peer.ts'
import { Inbox } from '../helpers/wait.ts'

export type PipeOptions = Partial<ForwardOptions> & { readonly args?: readonly string[] }

export interface LogLine {
  readonly level: string
  readonly event: string
  readonly text: string
  readonly facts: LogFacts
}

/** What catflap logs, the children's stderr (event `stderr`) among it. */
export class LogInbox extends Inbox<LogLine> implements Log {
  readonly debug = this.#at('debug')
  readonly info = this.#at('info')
  readonly warn = this.#at('warn')
  readonly error = this.#at('error')

  #at(level: string) {
    return (event: string, text: string, facts: LogFacts = {}): void => this.push({ level, event, text, facts })
  }

  /** The first line of the child's stderr that matches. */
  async child(pattern: RegExp): Promise<string> {
    return (await this.until(line => line.event === 'stderr' && pattern.test(line.text))).text
  }

  /** What the child has read so far. */
  get seen(): string[] {
    return this.items.filter(l => l.event === 'stderr' && l.text.startsWith('seen ')).map(l => l.text.slice(5))
  }

  /** The line that the child has read after so many others. */
  async nextSeen(after: number): Promise<string> {
    await this.until(() => this.seen.length > after)
    return this.seen[after] ?? ''
  }

  of(event: string): LogLine[] {
    return this.items.filter(line => line.event === event)
  }
}

function targetOf(file: StdioFixture, args: readonly string[] = []): { command: string; args: string[] } {
  const [command, ...rest] = fixtureArgv(file, ...args)
  return { command, args: rest }
}

export interface PipeDoor {
  readonly door: Forward
  readonly url: string
  readonly log: LogInbox
}

/** HTTP clients × a stdio server. */
export async function pipeDoor(t: Test, file: StdioFixture, options: PipeOptions = {}): Promise<PipeDoor> {
  trackLeaks(t)
  const log = new LogInbox('lines of the log')
  const { args, ...rest } = options
  const door = await createForward({
    target: targetOf(file, args),
    log,
    ...rest,
    settings: { ...QUICK, ...rest.settings }
  })
  t.teardown(() => closed(door))
  return { door, url: door.url ?? '', log }
}

/** Children that will not end by themselves are not waited for long. */
const QUICK = { killAfter: 500 }

async function closed(door: Forward): Promise<void> {
  await door.close({ drainTimeout: 0 })
  const { sessions, exchanges, streams, connections } = door.stats
  if (sessions + exchanges + streams + connections > 0) throw new Error(`left: ${JSON.stringify(door.stats)}`)
}

export interface StdioDoor {
  readonly door: Forward
  readonly log: LogInbox
  /** What the client gets, line by line. */
  readonly lines: Inbox<string>
  readonly input: PassThrough
  readonly output: PassThrough
  /** Text as it is; objects go as one line each, in one chunk. */
  send(...messages: (string | object)[]): void
  nextMessage(): Promise<Record<string, unknown>>
}

/** A client on a pair of pipes × a stdio server, within this process. */
export async function stdioDoor(t: Test, file: StdioFixture, options: PipeOptions = {}): Promise<StdioDoor> {
  trackLeaks(t)
  const log = new LogInbox('lines of the log')
  const [input, output] = [new PassThrough(), new PassThrough()]
  const lines = new Inbox<string>('lines for the client')
  readLines(output, lines)
  const { args, target = targetOf(file, args), ...rest } = options
  const settings = { ...QUICK, ...rest.settings }
  const door = await createForward({ log, ...rest, target, listen: { input, output }, settings })
  t.teardown(() => closed(door))
  const text = (message: string | object) => (typeof message === 'string' ? message : `${JSON.stringify(message)}\n`)
  return {
    door,
    log,
    lines,
    input,
    output,
    send: (...messages) => void input.write(messages.map(text).join('')),
    nextMessage: async () => JSON.parse(await lines.next()) as Record<string, unknown>
  }
}

export interface PipeSession {
  readonly id: string
  readonly headers: Record<string, string>
  post(body: string | object, headers?: Record<string, string>): ReturnType<typeof rawPost>
  /** A POST whose answer is a stream. */
  stream(body: string | object): Promise<SseStream>
  listen(): Promise<SseStream>
}

/** A session made by hand. */
export async function pipeSession(url: string, version?: string): Promise<PipeSession> {
  const answer = await rawPost(url, initialize(0, version))
  const id = answer.headers['mcp-session-id']
  if (typeof id !== 'string') throw new Error(`no session: ${answer.status} ${answer.text}`)
  const headers = legacyHeaders(id, version)
  return {
    id,
    headers,
    post: (body, more = {}) => rawPost(url, body, { ...headers, ...more }),
    stream: body => openSse(url, { body, headers }),
    listen: () => openSse(url, { headers: { ...headers, accept: 'text/event-stream' } })
  }
}

/** argv for a client that runs catflap as its server. */
export function catflapArgs(options: readonly string[], command: readonly string[]): string[] {
  return ['--no-warnings', ENTRY, 'forward', '--stdio', ...options, '--', ...command]
}

const ENTRY = fileURLToPath(new URL('../../bin/catflap.ts', import.meta.url))

/** A server's question, as text for `write`. */
export function question(id: number | string, method = 'sampling/createMessage', more: object = {}): string {
  return `${JSON.stringify({ jsonrpc: '2.0', id, method, params: { messages: [], maxTokens: 1, ...more } })}\n`
}
