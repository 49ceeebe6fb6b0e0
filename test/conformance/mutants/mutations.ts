/** One thing done wrong, each: what the gate has to notice. And a relay that does nothing wrong, which it must not. */
import type { Revision } from '../compare.ts'

export interface Relayed {
  readonly method: string
  /** Names in lower case. */
  readonly headers: Record<string, string>
  readonly body: string
}

export interface Reply {
  readonly status: number
  readonly headers: Record<string, string>
}

export interface Mutation {
  readonly name: string
  readonly wrong: string
  /** Where it can be seen. */
  readonly revision: Revision
  /** Changes a request, or answers it with a status of its own. */
  readonly request?: (request: Relayed) => Relayed | number
  readonly reply?: (reply: Reply) => Reply
  /** One SSE event as it came, without its blank line: what is to be sent in its place. */
  readonly event?: (event: string) => readonly string[]
  /** A body that is no stream. */
  readonly body?: (text: string) => string
  readonly buffersStreams?: boolean
  /** Does not tell the server that the client has gone. */
  readonly keepsAbandoned?: boolean
  /** Sends nothing while the client has not read what was sent before. */
  readonly losesWhenSlow?: boolean
  /** Makes a request of its own before this one. */
  readonly asksTwice?: (request: Relayed) => boolean
  /** A POST waits for the end of the one before. */
  readonly oneAtATime?: boolean
}

const LEGACY = '2025-11-25'
const MODERN = '2026-07-28'

export const HONEST: readonly Mutation[] = [
  { name: 'honest, legacy', wrong: 'nothing', revision: LEGACY, event: same, body: text => text },
  { name: 'honest, modern', wrong: 'nothing', revision: MODERN, event: same, body: text => text }
]

export const MUTATIONS: readonly Mutation[] = [
  {
    name: 'drop-session-header',
    wrong: 'the session id does not reach the client',
    revision: LEGACY,
    reply: reply => ({ ...reply, headers: without(reply.headers, /^mcp-session-id$/) })
  },
  { name: 'buffer', wrong: 'streams are sent when they are complete', revision: LEGACY, buffersStreams: true },
  { name: 'buffer-modern', wrong: 'streams are sent when they are complete', revision: MODERN, buffersStreams: true },
  { name: 'ids-as-strings', wrong: 'ids become strings', revision: LEGACY, ...inMessages(/"id":(\d+)/g, '"id":"$1"') },
  {
    name: 'tokens-as-strings',
    wrong: 'progress tokens become strings',
    revision: MODERN,
    ...inMessages(/"progressToken":(\d+)/g, '"progressToken":"$1"')
  },
  { name: 'drop-notifications', wrong: 'notifications are lost', revision: LEGACY, event: unless(isNotification) },
  { name: 'drop-notifications-modern', wrong: 'they are lost', revision: MODERN, event: unless(isNotification) },
  {
    name: 'drop-server-requests',
    wrong: 'requests of the server are lost',
    revision: LEGACY,
    event: unless(message => 'method' in message && 'id' in message)
  },
  {
    name: 'strip-mcp-headers',
    wrong: 'Mcp-* headers of requests are lost',
    revision: MODERN,
    request: request => ({ ...request, headers: without(request.headers, /^mcp-/) })
  },
  {
    name: 'strip-param-headers',
    wrong: 'Mcp-Param-* headers of requests are lost',
    revision: MODERN,
    request: request => ({ ...request, headers: without(request.headers, /^mcp-param-/) })
  },
  { name: '200-for-4xx', wrong: 'refusals come with status 200', revision: LEGACY, reply: always200 },
  { name: '200-for-4xx-modern', wrong: 'refusals come with status 200', revision: MODERN, reply: always200 },
  {
    name: 'lose-last-event-id',
    wrong: 'Last-Event-ID does not reach the server',
    revision: LEGACY,
    request: request => ({ ...request, headers: without(request.headers, /^last-event-id$/) })
  },
  { name: 'lose-event-ids', wrong: 'events lose their ids', revision: LEGACY, event: withoutField('id') },
  { name: 'lose-retry', wrong: 'events lose their retry', revision: LEGACY, event: withoutField('retry') },
  { name: 'refuse-get', wrong: 'no stream for GET', revision: LEGACY, request: r => (r.method === 'GET' ? 405 : r) },
  {
    name: 'swallow-delete',
    wrong: 'sessions never end',
    revision: LEGACY,
    request: r => (r.method === 'DELETE' ? 200 : r)
  },
  {
    name: 'swallow-cancelled',
    wrong: 'notifications/cancelled does not reach the server',
    revision: LEGACY,
    request: r => (r.body.includes('"notifications/cancelled"') ? 202 : r)
  },
  { name: 'keep-abandoned', wrong: 'a call goes on when its client has gone', revision: MODERN, keepsAbandoned: true },
  { name: 'lose-when-slow', wrong: 'what a slow client did not read is lost', revision: MODERN, losesWhenSlow: true },
  {
    name: 'ask-twice',
    wrong: 'a call is made again',
    revision: MODERN,
    asksTwice: request => request.body.includes('"probe_count"')
  },
  { name: 'one-at-a-time', wrong: 'one call waits for another', revision: MODERN, oneAtATime: true },
  {
    name: 'rewrite-host',
    wrong: 'the server sees neither Host nor Origin of the client',
    revision: LEGACY,
    request: request => ({ ...request, headers: without(request.headers, /^(host|origin)$/) })
  },
  { name: 'send-twice', wrong: 'every event comes twice', revision: LEGACY, event: event => [event, event] },
  { name: 'disorder', wrong: 'two events change places', revision: MODERN, event: disorder }
]

function same(event: string): string[] {
  return [event]
}

function always200(reply: Reply): Reply {
  return reply.status >= 400 ? { ...reply, status: 200 } : reply
}

function without(headers: Record<string, string>, name: RegExp): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([key]) => !name.test(key)))
}

function inMessages(what: RegExp, by: string): Pick<Mutation, 'event' | 'body'> {
  return { event: event => [event.replace(what, by)], body: text => text.replace(what, by) }
}

function isNotification(message: object): boolean {
  return 'method' in message && !('id' in message)
}

function unless(drop: (message: object) => boolean): (event: string) => string[] {
  return event => {
    const data = /^data: ?(\{.*\})$/m.exec(event)?.[1]
    return data !== undefined && drop(JSON.parse(data) as object) ? [] : [event]
  }
}

function withoutField(name: string): (event: string) => string[] {
  return event => [
    event
      .split('\n')
      .filter(line => !line.startsWith(`${name}:`))
      .join('\n')
  ]
}

/** What the first and the second notification say is exchanged. */
function disorder(event: string): string[] {
  if (!/"progress":[12]\b/.test(event)) return [event]
  return [
    /"progress":1\b/.test(event)
      ? event.replace('"progress":1', '"progress":2')
      : event.replace('"progress":2', '"progress":1')
  ]
}
