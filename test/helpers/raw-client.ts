/** HTTP without an MCP client: exact bytes out, exact bytes and headers back, one connection a request (no agent). */
import { type ClientRequest, type IncomingMessage, type OutgoingHttpHeaders, request } from 'node:http'
import { connect } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { POST_HEADERS } from './rpc.ts'
import { Inbox, within } from './wait.ts'

type Headers = OutgoingHttpHeaders | readonly string[]

export interface RawRequestOptions {
  /** Default POST. */
  readonly method?: string
  /** An object, or names and values in turn where order, spelling or repetition matters. */
  readonly headers?: Headers
  /** Bytes or text as they are; an object is JSON. */
  readonly body?: Buffer | string | object
  /** Default 10000; undefined means that of the whole answer. */
  readonly timeoutMs?: number
}

export interface RawResponse {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly rawHeaders: readonly string[]
  readonly body: Buffer
  /** The body as text. */
  readonly text: string
  /** The body parsed; throws on what is no JSON. */
  json(): unknown
}

/** Sends a request and reads its whole answer; rejects if the connection ends before that. */
export async function rawRequest(url: string | URL, options: RawRequestOptions = {}): Promise<RawResponse> {
  const { req, head } = send(url, options)
  const what = `the answer to ${options.method ?? 'POST'} ${url}`
  try {
    return await within(head.then(complete), { timeoutMs: options.timeoutMs ?? 10_000, what })
  } finally {
    req.destroy()
  }
}

/** POSTs exact bytes with the transport's usual headers, which `headers` (an object) completes or replaces. */
export function rawPost(
  url: string | URL,
  body: RawRequestOptions['body'],
  headers: Headers = {}
): Promise<RawResponse> {
  return rawRequest(url, { body, headers: isList(headers) ? headers : { ...POST_HEADERS, ...headers } })
}

export interface SseMessage {
  readonly id: string | undefined
  readonly event: string | undefined
  readonly data: string
  readonly retry: string | undefined
  readonly comments: readonly string[]
  /** The event exactly as it came, without the blank line. */
  readonly raw: string
}

export interface SseStream {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly rawHeaders: readonly string[]
  /** Every event and comment in order of arrival. */
  readonly events: Inbox<SseMessage>
  /** The next event or comment. */
  next(): Promise<SseMessage>
  /** The next event that has data, parsed. */
  nextMessage(): Promise<Record<string, unknown>>
  /** How the stream ended: in order (`end`) or because the connection broke (`aborted`). */
  readonly ended: Promise<'end' | 'aborted'>
  /** Stops and resumes reading from the socket, to make the other side feel backpressure. */
  pause(): void
  resume(): void
  /** Goes away, as a client that vanished. */
  close(): void
}

/** Opens a stream (GET by default) and returns once the head is there. */
export async function openSse(url: string | URL, options: RawRequestOptions = {}): Promise<SseStream> {
  const method = options.method ?? (options.body === undefined ? 'GET' : 'POST')
  const headers = options.headers ?? (method === 'GET' ? { accept: 'text/event-stream' } : POST_HEADERS)
  const { req, head } = send(url, { ...options, method, headers })
  const res = await within(head, { timeoutMs: options.timeoutMs ?? 10_000, what: `the head of ${method} ${url}` })
  const events = new Inbox<SseMessage>(`SSE events of ${method} ${url} (status ${res.statusCode})`)
  const ended = new Promise<'end' | 'aborted'>(resolve => {
    res.once('end', () => resolve('end'))
    res.once('close', () => resolve('aborted'))
  })
  void ended.then(how => events.end(how))
  res.on('error', () => {})
  readEvents(res, events)
  const next = () => events.next()
  return {
    status: res.statusCode ?? 0,
    headers: res.headers,
    rawHeaders: res.rawHeaders,
    events,
    next,
    async nextMessage() {
      let event = await next()
      while (event.data === '') event = await next()
      return JSON.parse(event.data) as Record<string, unknown>
    },
    ended,
    pause: () => void res.pause(),
    resume: () => void res.resume(),
    close: () => void req.destroy()
  }
}

export interface PendingRequest {
  readonly req: ClientRequest
  /** The head of the answer; rejects when the connection ends before it. */
  readonly head: Promise<IncomingMessage>
}

/** Sends a request and returns at once: for tests that go away, or look at the head before the body. */
export function send(
  url: string | URL,
  { method = 'POST', headers = {}, body }: RawRequestOptions = {}
): PendingRequest {
  const bytes =
    body === undefined || Buffer.isBuffer(body)
      ? body
      : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body))
  const list = isList(headers)
  const req = request(url, { method, agent: false, headers: list ? completed(headers, url, bytes) : headers })
  if (bytes !== undefined && !list && !('content-length' in headers)) req.setHeader('content-length', bytes.length)
  const head = new Promise<IncomingMessage>((resolve, reject) => {
    req.once('response', resolve)
    req.on('error', reject)
    req.once('close', () => reject(new Error('the connection closed before a response')))
  })
  head.catch(() => {})
  req.end(bytes)
  return { req, head }
}

/** Writes bytes onto a connection and gives back all that comes until it ends. */
export function talk(url: string, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1', () => socket.write(bytes))
    let heard = ''
    socket.on('data', chunk => void (heard += chunk))
    socket.on('end', () => socket.end())
    socket.on('close', () => resolve(heard))
    socket.on('error', reject)
  })
}

async function complete(res: IncomingMessage): Promise<RawResponse> {
  const body = await buffer(res)
  const text = body.toString()
  return {
    status: res.statusCode ?? 0,
    headers: res.headers,
    rawHeaders: res.rawHeaders,
    body,
    text,
    json: () => JSON.parse(text) as unknown
  }
}

function readEvents(res: IncomingMessage, events: Inbox<SseMessage>): void {
  let pending = ''
  res.setEncoding('utf8')
  res.on('data', (chunk: string) => {
    pending += chunk
    for (let match = BLANK_LINE.exec(pending); match !== null; match = BLANK_LINE.exec(pending)) {
      events.push(parseEvent(pending.slice(0, match.index)))
      pending = pending.slice(match.index + match[0].length)
    }
  })
}

const BLANK_LINE = /\r\n\r\n|\n\n|\r\r/

function parseEvent(raw: string): SseMessage {
  const fields = raw.split(/\r\n|\n|\r/).map(line => /^([^:]*):? ?(.*)$/s.exec(line)!)
  const all = (name: string) => fields.filter(field => field[1] === name).map(field => field[2]!)
  const [id, event, retry] = [all('id').at(-1), all('event').at(-1), all('retry').at(-1)]
  return { id, event, retry, data: all('data').join('\n'), comments: all(''), raw }
}

/** A list goes out as it is: what any request needs is added where it is absent. */
function completed(list: readonly string[], url: string | URL, body: Buffer | undefined): string[] {
  const has = (wanted: string) => list.some((name, i) => i % 2 === 0 && name.toLowerCase() === wanted)
  const host = has('host') ? [] : ['Host', new URL(url).host]
  const length = body === undefined || has('content-length') ? [] : ['Content-Length', String(body.length)]
  return [...host, ...list, ...length]
}

function isList(headers: Headers): headers is readonly string[] {
  return Array.isArray(headers)
}
