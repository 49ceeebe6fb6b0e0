/** Real clients and real servers on each wire, recorded; then the same clients with nothing but the tape. */
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { createForward, type Forward, type ForwardOptions } from '../../src/index.ts'
import type { TapeTargetOptions } from '../../src/replay/options.ts'
import { startHttpServer } from '../fixtures/servers/http-server.ts'
import { startSseServer } from '../fixtures/servers/sse-server.ts'
import {
  type ClientOptions,
  connectHttp,
  connectSse,
  connectStdio,
  HANDLERS,
  type TestClient
} from '../helpers/clients.ts'

export type Wire = 'http' | 'sse' | 'stdio'
export type ServerEra = 'legacy' | 'modern' | 'dual'

export interface ReplayClient {
  readonly c: TestClient
  /** Ends as a well-behaved client does. */
  end(): Promise<void>
}

export type Script<T> = (client: TestClient) => Promise<T>

export const ENTRY = fileURLToPath(new URL('../../bin/catflap.ts', import.meta.url))
const SERVER = fileURLToPath(new URL('../fixtures/servers/stdio-server.ts', import.meta.url))

export interface RecordOptions {
  readonly client: Wire
  readonly server: Wire
  readonly era?: ServerEra
  readonly as?: ClientOptions
}

/** Plays the script with a real server, and returns what it returned and the tape of it. */
export async function recorded<T>(t: Test, how: RecordOptions, script: Script<T>): Promise<{ file: string; told: T }> {
  const file = path.join(t.testdir(), 'a.tape.jsonl')
  const { client, server, era = 'legacy', as } = how
  if (client === 'stdio') {
    const to = server === 'stdio' ? ['--', ...command(era)] : [await serverUrl(t, server, era)]
    // The SDK tries modern servers out in a process of its own, which has a tape of its own.
    const folder = path.join(t.testdirName, 'tapes')
    const args = ['--no-warnings', ENTRY, 'forward', '--stdio', '--record', `${folder}/`, '--no-tail', ...to]
    const { c, end } = await byStdio(t, args, as)
    const told = await script(c)
    await end()
    return { file: folder, told }
  }
  const [program, ...args] = command(era)
  const target = server === 'stdio' ? { command: program!, args } : { url: await serverUrl(t, server, era) }
  const door = await createForward({ target, record: { path: file } })
  t.teardown(() => door.close({ drainTimeout: 0 }))
  const { c, end } = await byUrl(t, client, door.url!, as)
  const told = await script(c)
  await end()
  await door.close()
  return { file, told }
}

/** The program on stdio that the server is. */
export function command(era: ServerEra): string[] {
  return [process.execPath, '--no-warnings', SERVER, '--era', era, '--quiet']
}

async function serverUrl(t: Test, wire: 'http' | 'sse', era: ServerEra): Promise<string> {
  const server =
    wire === 'sse' ? await startSseServer() : await startHttpServer({ mode: era === 'legacy' ? 'stateful' : era })
  t.teardown(() => server.close())
  return server.url
}

export type ReplayOptions = Omit<TapeTargetOptions, 'tape'> & { readonly door?: Partial<ForwardOptions> }

/** The tape over HTTP. */
export async function replayDoor(t: Test, tape: string, options: ReplayOptions = {}): Promise<Forward> {
  const { door: rest, ...replay } = options
  const door = await createForward({ target: { tape, ...replay }, ...rest })
  t.teardown(() => door.close({ drainTimeout: 0 }))
  return door
}

/** A client with the tape in the place of its server; over stdio it starts catflap, with these arguments besides. */
export async function replayClient(
  t: Test,
  wire: Wire,
  tape: string | Forward,
  as?: ClientOptions,
  args: readonly string[] = []
): Promise<ReplayClient> {
  if (wire !== 'stdio') return await byUrl(t, wire, (tape as Forward).url!, as)
  return await byStdio(t, ['--no-warnings', ENTRY, 'replay', '--stdio', '--no-tail', ...args, tape as string], as)
}

async function byStdio(t: Test, args: readonly string[], as: ClientOptions = {}): Promise<ReplayClient> {
  const c = await connectStdio({ args, handlers: HANDLERS, ...as })
  t.teardown(() => c.close())
  return { c, end: () => c.close() }
}

async function byUrl(t: Test, wire: 'http' | 'sse', url: string, as: ClientOptions = {}): Promise<ReplayClient> {
  const options = { handlers: HANDLERS, ...as }
  if (wire === 'sse') {
    const c = await connectSse(new URL('/sse', url).href, options)
    t.teardown(() => c.close())
    return { c, end: () => c.close() }
  }
  const c = await connectHttp(url, options)
  t.teardown(() => c.close())
  if ((options.era ?? 'legacy') === 'legacy') await c.listening()
  return {
    c,
    async end() {
      if (c.transport.sessionId !== undefined) await c.terminate()
      await c.close()
    }
  }
}

/** The text of a tool's answer. */
export async function callTool(c: TestClient, name: string, args: Record<string, unknown> = {}): Promise<string> {
  const result = await c.client.callTool({ name, arguments: args })
  return (result as { content: { text: string }[] }).content[0]?.text ?? ''
}
