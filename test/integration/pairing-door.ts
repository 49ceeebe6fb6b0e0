/** Any client by hand × any server by hand, with catflap between them: what is said on one side and heard on the other. */
import { PassThrough } from 'node:stream'
import type { Test } from 'tap'
import { createForward, type Forward, type ForwardOptions } from '../../src/index.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { type RawResponse, rawRequest, send } from '../helpers/raw-client.ts'
import { initialize, legacyHeaders, notification, POST_HEADERS } from '../helpers/rpc.ts'
import { readLines } from '../helpers/stdio-peer.ts'
import { Inbox } from '../helpers/wait.ts'
import { type Json, type PairServer, pairServer, type Wire } from './pairing-servers.ts'
import { LogInbox } from './pipe-door.ts'
import { sseReady, sseSession } from './sse-down-door.ts'

export type { Json, Wire } from './pairing-servers.ts'

export interface PairClient {
  /** Returns when it is written, or over HTTP when its answer has begun: then that answer's status. */
  say(message: object | string, headers?: Record<string, string>): Promise<number | undefined>
  /** Everything the client gets, in order, wherever it comes: messages, and batches as arrays. */
  readonly heard: Inbox<Json>
  next(): Promise<Json>
}

export interface Pair {
  readonly client: PairClient
  readonly server: PairServer
  /** One more client over HTTP or HTTP+SSE. */
  another(): Promise<PairClient>
  readonly door: Forward
  readonly log: LogInbox
}

export interface PairOptions extends Partial<ForwardOptions> {
  /** What the client asks for in `initialize`; without it nothing is initialized. */
  readonly version?: string
}

export const PAIRS: readonly (readonly [Wire, Wire])[] = (['http', 'sse', 'stdio'] as const).flatMap(client =>
  (['http', 'sse', 'stdio'] as const).map(server => [client, server] as const)
)

export async function pair(t: Test, client: Wire, server: Wire, options: PairOptions = {}): Promise<Pair> {
  trackLeaks(t)
  const held = await pairServer(t, server)
  const { version, ...rest } = options
  const log = new LogInbox('lines of the log')
  const pipes = { input: new PassThrough(), output: new PassThrough() }
  const door = await createForward({
    target: held.target,
    log,
    ...rest,
    ...(client === 'stdio' && { listen: pipes }),
    settings: { killAfter: 500, ...rest.settings }
  })
  t.teardown(() => door.close({ drainTimeout: 0 }))
  const another = (): Promise<PairClient> => {
    if (client === 'stdio') return stdioClient(pipes, version)
    return client === 'sse' ? sseClient(t, door.url ?? '', version) : httpClient(t, door.url ?? '', version)
  }
  return { client: await another(), server: held, another, door, log }
}

async function stdioClient(
  { input, output }: { input: PassThrough; output: PassThrough },
  version: string | undefined
): Promise<PairClient> {
  const handshake = new Inbox<Json>('the handshake')
  const heard = new Inbox<Json>('what the client hears')
  let into = version === undefined ? heard : handshake
  const lines = new Inbox<string>('lines')
  lines.push = line => into.push(JSON.parse(line))
  readLines(output, lines)
  const say = async (message: object | string): Promise<undefined> => {
    input.write(`${typeof message === 'string' ? message : JSON.stringify(message)}\n`)
  }
  if (version !== undefined) {
    await say(initialize(0, version))
    await handshake.next()
    into = heard
    await say(notification('notifications/initialized'))
  }
  return { say, heard, next: () => heard.next() }
}

async function sseClient(t: Test, url: string, version: string | undefined): Promise<PairClient> {
  const session = version === undefined ? await sseSession(url) : await sseReady(url, version)
  t.teardown(() => session.close())
  const heard = new Inbox<Json>('what the client hears')
  const push = session.stream.events.push.bind(session.stream.events)
  session.stream.events.push = event => {
    push(event)
    if (event.data !== '') heard.push(JSON.parse(event.data))
  }
  return {
    say: async (message, headers) => (await session.post(message, headers)).status,
    heard,
    next: () => heard.next()
  }
}

async function httpClient(t: Test, url: string, version: string | undefined): Promise<PairClient> {
  const heard = new Inbox<Json>('what the client hears')
  let headers: Record<string, string> = { ...POST_HEADERS }
  if (version !== undefined) {
    const answer: RawResponse = await rawRequest(url, { body: initialize(0, version), headers })
    headers = legacyHeaders(answer.headers['mcp-session-id'] as string, version)
    await rawRequest(url, { body: notification('notifications/initialized'), headers })
    await listen(t, url, headers, heard)
  }
  return {
    say(message, more) {
      const status = told(t, url, { body: message, headers: { ...headers, ...more } }, heard)
      // Not every request is answered before its test is over.
      status.catch(() => {})
      return status
    },
    heard,
    next: () => heard.next()
  }
}

async function listen(t: Test, url: string, headers: Record<string, string>, heard: Inbox<Json>): Promise<void> {
  await told(t, url, { method: 'GET', headers: { ...headers, accept: 'text/event-stream' } }, heard)
}

/** Makes a request, and reads its answer into the inbox for as long as it takes. */
async function told(
  t: Test,
  url: string,
  options: { method?: string; body?: object | string; headers: Record<string, string> },
  heard: Inbox<Json>
): Promise<number> {
  const { req, head } = send(url, options)
  t.teardown(() => void req.destroy())
  const res = await head
  const isStream = res.headers['content-type'] === 'text/event-stream'
  res.on('error', () => {})
  let pending = ''
  res.setEncoding('utf8').on('data', (chunk: string) => {
    pending += chunk
    if (!isStream) return
    const events = pending.split('\n\n')
    pending = events.pop() ?? ''
    for (const event of events) {
      const data = /^data: ?(.+)$/m.exec(event)?.[1]
      if (data) heard.push(JSON.parse(data))
    }
  })
  res.on('end', () => !isStream && pending !== '' && heard.push(JSON.parse(pending)))
  return res.statusCode ?? 0
}
