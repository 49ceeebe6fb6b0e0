/** A client of few words, for checks that look at the wire itself: what it sends and gets is JSON-RPC over HTTP, unread. */
import { strict as assert } from 'node:assert'
import type { ClientRequest, IncomingMessage } from 'node:http'
import { rawRequest, send } from '../../helpers/raw-client.ts'
import {
  type Id,
  initialize,
  legacyHeaders,
  modern,
  modernHeaders,
  notification,
  type Rpc,
  toolCall
} from '../../helpers/rpc.ts'
import { Inbox, within } from '../../helpers/wait.ts'
import type { Revision } from '../compare.ts'

export type Message = Record<string, unknown>

/** What is answered to one request, whether as JSON or as a stream. */
export interface Answer {
  readonly status: number
  readonly messages: Inbox<Message>
  /** The response, which has the id of the request. */
  response(): Promise<Message>
  /** Goes away. */
  leave(): void
  /** Begins to read what was asked for with `unread`. */
  read(): void
}

export interface CallOptions {
  /** Members of `_meta`. */
  readonly meta?: Message
  readonly headers?: Readonly<Record<string, string>>
  /** Leaves the answer in the socket until `read()`. */
  readonly unread?: boolean
}

export interface Wire {
  readonly url: string
  /** POSTs a message as it is (but for `_meta`, which the modern era requires), and returns once the head is there. */
  post(message: Rpc | readonly Rpc[], options?: CallOptions): Promise<Answer>
  tool(id: Id, name: string, args?: Message, options?: CallOptions): Promise<Answer>
  /** Legacy: the stream on which the server speaks by itself. */
  listen(): Promise<Answer>
  close(): Promise<void>
}

export const WAIT_MS = 10_000

export async function connectWire(url: string, revision: Revision): Promise<Wire> {
  return revision === '2026-07-28' ? modernWire(url) : legacyWire(url, revision)
}

/** The text that a tool has answered with; throws on an error. */
export async function textOf(answer: Answer | Promise<Answer>): Promise<string> {
  const message = await (await answer).response()
  const { content } = { ...(message.result as { content?: { text: string }[] } | undefined) }
  assert.ok(content?.[0], `no content in ${JSON.stringify(message)}`)
  return content[0].text
}

function modernWire(url: string): Wire {
  const open = new Set<ClientRequest>()
  const post = (message: Rpc | readonly Rpc[], { meta, headers, unread }: CallOptions = {}) => {
    const whole = modern(message as Rpc, {}, meta)
    return exchange(url, open, 'POST', { ...modernHeaders(whole), ...headers }, whole, unread)
  }
  return {
    url,
    post,
    tool: (id, name, args, options) => post(toolCall(id, name, args), options),
    listen: () => Promise.reject(new Error('the modern era has no GET')),
    close: async () => leaveAll(open)
  }
}

async function legacyWire(url: string, revision: Revision): Promise<Wire> {
  const open = new Set<ClientRequest>()
  const hello = await exchange(url, open, 'POST', legacyHeaders(), initialize(0, revision))
  await hello.response()
  const id = String(hello.headers['mcp-session-id'])
  const ours = legacyHeaders(id, revision)
  const post = (message: Rpc | readonly Rpc[], { headers, unread }: CallOptions = {}) =>
    exchange(url, open, 'POST', { ...ours, ...headers }, message, unread)
  const begun = await post(notification('notifications/initialized'))
  assert.equal(begun.status, 202, 'the answer to notifications/initialized')
  return {
    url,
    post,
    tool: (toolId, name, args = {}, { meta, ...options } = {}) => {
      const call = toolCall(toolId, name, args)
      return post(meta === undefined ? call : { ...call, params: { ...call.params, _meta: meta } }, options)
    },
    listen: () => exchange(url, open, 'GET', { ...ours, accept: 'text/event-stream' }),
    async close() {
      await rawRequest(url, { method: 'DELETE', headers: ours }).catch(() => {})
      leaveAll(open)
    }
  }
}

function leaveAll(open: Set<ClientRequest>): void {
  for (const req of open) req.destroy()
}

type Exchanged = Answer & { readonly headers: IncomingMessage['headers'] }

async function exchange(
  url: string,
  open: Set<ClientRequest>,
  method: 'POST' | 'GET',
  headers: Record<string, string>,
  body?: object,
  unread = false
): Promise<Exchanged> {
  const { req, head } = send(url, { method, headers, body })
  open.add(req)
  req.once('close', () => open.delete(req))
  const what = `the answer to ${JSON.stringify(body ?? method).slice(0, 200)}`
  const res = await within(head, { timeoutMs: WAIT_MS, what })
  const messages = new Inbox<Message>(`messages of ${what} (status ${res.statusCode})`)
  res.on('error', () => {})
  res.once('close', () => messages.end('the answer has ended'))
  const isStream = res.headers['content-type']?.includes('text/event-stream')
  const read = () => (isStream ? readStream(res, messages) : readJson(res, messages))
  if (!unread) read()
  const isResponse = (message: Message) => !('method' in message)
  return {
    status: res.statusCode ?? 0,
    headers: res.headers,
    messages,
    response: () => messages.until(isResponse, { timeoutMs: WAIT_MS }),
    leave: () => void req.destroy(),
    read
  }
}

function readStream(res: IncomingMessage, messages: Inbox<Message>): void {
  let pending = ''
  res.setEncoding('utf8').on('data', (chunk: string) => {
    const lines = (pending + chunk).split(/\r?\n/)
    pending = lines.pop() ?? ''
    // All servers here write a message on one line; an event without data only marks a place.
    for (const line of lines) if (/^data: ?\S/.test(line)) messages.push(JSON.parse(line.slice(5)) as Message)
  })
}

function readJson(res: IncomingMessage, messages: Inbox<Message>): void {
  let body = ''
  res.setEncoding('utf8').on('data', (chunk: string) => void (body += chunk))
  res.once('end', () => {
    if (body === '') return
    try {
      const parsed = JSON.parse(body) as Message | Message[]
      for (const message of [parsed].flat()) messages.push(message)
    } catch {
      messages.end(`no JSON: ${body.slice(0, 100)}`)
    }
  })
}
