/** Tapes written by hand, and clients by hand in front of them: what is said and heard, to the letter. */
import type { ClientRequest, IncomingMessage } from 'node:http'
import { PassThrough } from 'node:stream'
import type { Test } from 'tap'
import type { Forward } from '../../src/index.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { openSse, rawPost, send } from '../helpers/raw-client.ts'
import { initialize, legacyHeaders, notification, POST_HEADERS } from '../helpers/rpc.ts'
import { readLines } from '../helpers/stdio-peer.ts'
import { Inbox } from '../helpers/wait.ts'
import { LogInbox } from '../integration/pipe-door.ts'
import { down, type FrameFacts, JSON_HEAD, request, result, tapeOf, up } from './recording-door.ts'
import { type ReplayOptions, replayDoor } from './replay-stage.ts'

export type Json = Record<string, unknown> & {
  readonly id?: unknown
  readonly method?: string
  readonly params?: Record<string, unknown>
  readonly result?: Record<string, unknown>
  readonly error?: { readonly code: number; readonly message: string; readonly data?: Record<string, unknown> }
}

/** The session `s1` of a client over HTTP, begun; what follows is given. */
export function httpTape(t: Test, frames: readonly FrameFacts[], capabilities: object = {}): string {
  const s1 = (frame: FrameFacts): FrameFacts => ({ session: 's1', ...frame })
  return tapeOf(t, [...handshake(capabilities), ...frames].map(s1))
}

export function handshake(capabilities: object = {}, stream = 'post'): FrameFacts[] {
  const http = stream === 'stdio' ? {} : { http: JSON_HEAD }
  const at = (n: number): string => (stream === 'stdio' ? stream : `${stream}-${n}`)
  const clientInfo = { name: 'recorded', version: '1' }
  const params = { protocolVersion: '2025-11-25', capabilities, clientInfo }
  const answer = { protocolVersion: '2025-11-25', capabilities: {}, serverInfo: { name: 'tape', version: '1' } }
  return [
    up(at(901), request(900, 'initialize', params)),
    down(at(901), result(900, answer), http),
    up(at(902), { jsonrpc: '2.0', method: 'notifications/initialized' }),
    ...(stream === 'stdio'
      ? []
      : [{ stream: at(902), dir: 'down', kind: 'head', http: { status: 202, headers: [] } } as const])
  ]
}

/** A request, and its answer as JSON. */
export function asked(n: number, method: string, params: object, value: object, facts: FrameFacts = {}): FrameFacts[] {
  return [up(`post-${n}`, request(n, method, params), facts), down(`post-${n}`, result(n, value), { http: JSON_HEAD })]
}

export interface Answer {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly text: string
  /** The connection broke before it was complete. */
  readonly broke: boolean
}

export interface HandClient {
  readonly door: Forward
  readonly log: LogInbox
  /** Over HTTP: resolves with the whole answer; its messages are heard as they come. Over stdio: when it is written. */
  say(message: object, headers?: Record<string, string>): Promise<Answer>
  /** Goes away from what it asked last. */
  leave(): void
  /** All that came, wherever. */
  readonly heard: Inbox<Json>
  next(): Promise<Json>
}

export async function byHand(
  t: Test,
  wire: 'http' | 'stdio',
  tape: string,
  options: ReplayOptions & { readonly capabilities?: object } = {}
): Promise<HandClient> {
  trackLeaks(t)
  const log = new LogInbox('lines of the log')
  const { capabilities = {}, door: rest, ...replay } = options
  if (wire === 'stdio') {
    const pipes = { input: new PassThrough(), output: new PassThrough() }
    const door = await replayDoor(t, tape, { ...replay, door: { log, ...rest, listen: pipes } })
    const heard = new Inbox<Json>('what the client hears')
    const lines = new Inbox<string>('lines')
    lines.push = line => heard.push(JSON.parse(line))
    readLines(pipes.output, lines)
    const say = async (message: object): Promise<Answer> => {
      pipes.input.write(`${JSON.stringify(message)}\n`)
      return { status: 0, headers: {}, text: '', broke: false }
    }
    await say(initialize('begin', '2025-11-25', capabilities))
    await heard.next()
    await say(notification('notifications/initialized'))
    return { door, log, say, heard, next: () => heard.next(), leave() {} }
  }
  const door = await replayDoor(t, tape, { ...replay, door: { log, ...rest } })
  const begun = await rawPost(door.url!, initialize('begin', '2025-11-25', capabilities))
  const headers = legacyHeaders(begun.headers['mcp-session-id'] as string, '2025-11-25')
  await rawPost(door.url!, notification('notifications/initialized'), headers)
  const heard = new Inbox<Json>('what the client hears')
  const stream = await openSse(door.url!, { headers: { ...headers, accept: 'text/event-stream' } })
  t.teardown(() => stream.close())
  const push = stream.events.push.bind(stream.events)
  stream.events.push = event => {
    push(event)
    if (event.data !== '') heard.push(JSON.parse(event.data))
  }
  let last: ClientRequest | undefined
  return {
    door,
    log,
    heard,
    next: () => heard.next(),
    say: (message, more) => {
      const asked = told(door.url!, message, { ...headers, ...more }, heard)
      last = asked.req
      t.teardown(() => void asked.req.destroy())
      return asked.answer
    },
    leave: () => last?.destroy()
  }
}

/** Asks, and reads the answer into the inbox as it comes. */
export function told(
  url: string,
  body: object,
  headers: Record<string, string>,
  heard: Inbox<Json>
): { readonly req: ClientRequest; readonly answer: Promise<Answer> } {
  const { req, head } = send(url, { body, headers: { ...POST_HEADERS, ...headers } })
  req.on('error', () => {})
  const answer = head.then(async res => {
    let text = ''
    let read = 0
    res.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
      if (res.headers['content-type'] !== 'text/event-stream') return
      for (let end = text.indexOf('\n\n', read); end >= 0; end = text.indexOf('\n\n', read)) {
        const data = /^data: ?(.+)$/m.exec(text.slice(read, end))?.[1]
        if (data) heard.push(JSON.parse(data))
        read = end + 2
      }
    })
    await new Promise(resolve => res.on('close', resolve).on('error', () => {}))
    if (res.complete && res.headers['content-type'] === 'application/json') heard.push(JSON.parse(text))
    return { status: res.statusCode ?? 0, headers: res.headers, text, broke: !res.complete }
  })
  // Not every answer is waited for.
  answer.catch(() => {})
  return { req, answer }
}
