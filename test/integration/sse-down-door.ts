/** Clients on HTTP+SSE in front of a stdio server: a session made by hand, and one by the SDK. */
import type { Test } from 'tap'
import type { Direction, Interceptor, Message as McpMessage } from '../../src/index.ts'
import { connectSse, HANDLERS, type HttpClientOptions, type SseTestClient } from '../helpers/clients.ts'
import { openSse, type RawRequestOptions, type RawResponse, rawRequest, type SseStream } from '../helpers/raw-client.ts'
import { initialize, notification } from '../helpers/rpc.ts'

type Message = Record<string, unknown>

export interface SseSession {
  readonly stream: SseStream
  /** Where its messages go, as the `endpoint` event said. */
  readonly endpoint: URL
  readonly id: string
  post(body: RawRequestOptions['body'], headers?: Record<string, string>): Promise<RawResponse>
  /** The next message on the stream. */
  next(): Promise<Message>
  /** Goes away. */
  close(): void
}

export const JSON_TYPE = { 'content-type': 'application/json' }

/** Where the old transport is served beside the endpoint. */
export function sseUrl(url: string): URL {
  return new URL('sse', url)
}

export function messagesUrl(url: string, sessionId?: string): URL {
  return new URL(sessionId === undefined ? 'messages' : `messages?sessionId=${sessionId}`, url)
}

/** Opens a stream by hand and reads its `endpoint` event; nothing is initialized. */
export async function sseSession(url: string, more: Record<string, string> = {}): Promise<SseSession> {
  const stream = await openSse(sseUrl(url), { headers: { accept: 'text/event-stream', ...more } })
  if (stream.status !== 200) throw new Error(`no stream: ${stream.status}`)
  const first = await stream.next()
  if (first.event !== 'endpoint') throw new Error(`no endpoint: ${first.raw}`)
  const endpoint = new URL(first.data, sseUrl(url))
  return {
    stream,
    endpoint,
    id: endpoint.searchParams.get('sessionId') ?? '',
    post: (body, headers = {}) => rawRequest(endpoint, { body, headers: { ...JSON_TYPE, ...more, ...headers } }),
    next: () => stream.nextMessage(),
    close: () => stream.close()
  }
}

/** The same, past the handshake. */
export async function sseReady(url: string, version?: string, more: Record<string, string> = {}): Promise<SseSession> {
  const s = await sseSession(url, more)
  await s.post(initialize(0, version))
  await s.next()
  await s.post(notification('notifications/initialized'))
  return s
}

export async function sseClient(
  t: Test,
  url: string,
  options: Omit<HttpClientOptions, 'reconnection'> = {}
): Promise<SseTestClient> {
  const c = await connectSse(sseUrl(url), { handlers: HANDLERS, ...options })
  t.teardown(() => c.close())
  return c
}

/** A gate: whoever comes is noted by a promise, and waits until it opens. */
export function gate(): { readonly arrived: Promise<void>; pass(): Promise<void>; open(): void } {
  const [arrived, opened] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  return {
    arrived: arrived.promise,
    pass() {
      arrived.resolve()
      return opened.promise
    },
    open: opened.resolve
  }
}

/** A hook for messages of one method (or of answers to one id). */
export function on(
  what: string,
  direction: Direction,
  then: (message: McpMessage) => McpMessage | undefined | Promise<McpMessage | undefined>
): Interceptor {
  return {
    name: 'on',
    message: (_place, message, dir) =>
      dir === direction && (message.method ?? `answer ${message.idText}`) === what ? then(message) : message
  }
}
