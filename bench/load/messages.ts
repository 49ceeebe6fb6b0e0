/** What is said under load, and what is answered: the same bytes for every peer. */

export const SESSION_HEADER = 'Mcp-Session-Id'
export const LEGACY = '2025-06-18'
export const MODERN = '2026-07-28'

export const HEADERS: Readonly<Record<string, string>> = {
  'Content-Type': 'application/json',
  Accept: 'application/json, text/event-stream',
  'MCP-Protocol-Version': LEGACY
}

export const INITIALIZE = JSON.stringify({
  jsonrpc: '2.0',
  id: 0,
  method: 'initialize',
  params: { protocolVersion: LEGACY, capabilities: {}, clientInfo: { name: 'bench', version: '1' } }
})

export const INITIALIZED = JSON.stringify({
  jsonrpc: '2.0',
  id: 0,
  result: { protocolVersion: LEGACY, capabilities: { tools: {} }, serverInfo: { name: 'bench', version: '1' } }
})

const CALL_PARAMS = { name: 'weather', arguments: { city: 'Lisbon', days: 3, units: 'metric' } }
const RESULT_TEXT = 'Lisbon: sunny, 24 degrees; tomorrow clouds, 21 degrees; the day after rain, 18 degrees.'
/** Stands for the id, or what else differs from message to message, until it is known. */
const HOLE = '@@'

/** A message with a hole in it for the id. */
export interface Template {
  readonly before: string
  readonly after: string
}

function template(message: object): Template {
  const [before, after] = JSON.stringify(message).split(`"${HOLE}"`)
  return { before: before!, after: after! }
}

export function filled({ before, after }: Template, id: string | number): string {
  return `${before}${id}${after}`
}

export const CALL_TEMPLATE = template({ jsonrpc: '2.0', id: HOLE, method: 'tools/call', params: CALL_PARAMS })
export const CALL = filled(CALL_TEMPLATE, 1)

export function result(text: string, more: object = {}): object {
  return { jsonrpc: '2.0', id: 1, result: { ...more, content: [{ type: 'text', text }], isError: false } }
}

/** About 200 bytes. */
export const RESULT = JSON.stringify(result(RESULT_TEXT))
/** The same from a server that answers with the id it was asked with. */
export const RESULT_TEMPLATE = template({ ...result(RESULT_TEXT), id: HOLE })

export const MODERN_HEADERS: Readonly<Record<string, string>> = {
  ...HEADERS,
  'MCP-Protocol-Version': MODERN,
  'Mcp-Method': 'tools/call',
  'Mcp-Name': CALL_PARAMS.name
}

export const MODERN_TEMPLATE = template({
  jsonrpc: '2.0',
  id: HOLE,
  method: 'tools/call',
  params: {
    ...CALL_PARAMS,
    _meta: {
      'io.modelcontextprotocol/protocolVersion': MODERN,
      'io.modelcontextprotocol/clientInfo': { name: 'bench', version: '1' },
      'io.modelcontextprotocol/clientCapabilities': {}
    }
  }
})
export const MODERN_CALL = filled(MODERN_TEMPLATE, 1)
export const MODERN_RESULT = JSON.stringify(result(RESULT_TEXT, { resultType: 'complete' }))
export const MODERN_RESULT_TEMPLATE = template({ ...result(RESULT_TEXT, { resultType: 'complete' }), id: HOLE })

/** What clients of one server say in turn; of different methods and sizes. */
export const VARIED: readonly Template[] = [
  CALL_TEMPLATE,
  template({ jsonrpc: '2.0', id: HOLE, method: 'tools/list', params: {} }),
  template({ id: HOLE, jsonrpc: '2.0', params: { uri: 'file:///notes/2026/11.md' }, method: 'resources/read' }),
  template({
    jsonrpc: '2.0',
    method: 'tools/call',
    params: { _meta: { progressToken: 'p' }, name: 'search', arguments: { query: 'Ähren im Wind', limit: 20 } },
    id: HOLE
  }),
  template({
    jsonrpc: '2.0',
    id: HOLE,
    method: 'prompts/get',
    params: { name: 'review', arguments: { code: 'x'.repeat(600) } }
  })
]

/** A call whose arguments make it about this long. */
export function callOfSize(bytes: number): Template {
  const message = {
    jsonrpc: '2.0',
    id: HOLE,
    method: 'tools/call',
    params: { name: 'weather', arguments: { text: '' } }
  }
  const { before, after } = template(message)
  const text = 'x'.repeat(Math.max(0, bytes - before.length - after.length - 8))
  return { before, after: after.replace('"text":""', `"text":"${text}"`) }
}

/** A result of exactly this many bytes. */
export function resultOfSize(bytes: number): string {
  const empty = JSON.stringify(result(''))
  return JSON.stringify(result('x'.repeat(bytes - empty.length)))
}

export const EVENTS = 100

/** What a call answered with a stream gets: progress, and at last the result. Event by event. */
export const STREAM: readonly string[] = [
  ...Array.from({ length: EVENTS }, (_, i) =>
    event({
      jsonrpc: '2.0',
      method: 'notifications/progress',
      params: { progressToken: 'p', progress: i, total: EVENTS }
    })
  ),
  `event: message\ndata: ${RESULT}\n\n`
]

export const BROADCAST = event({ jsonrpc: '2.0', method: 'notifications/tools/list_changed' })

function event(message: object): string {
  return `event: message\ndata: ${JSON.stringify(message)}\n\n`
}

/** Head of a POST up to its length, which the body decides. */
export function postHead(url: string, headers: Readonly<Record<string, string>>): string {
  const { host, pathname } = new URL(url)
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return `POST ${pathname} HTTP/1.1\r\nHost: ${host}\r\n${lines.join('')}`
}

export function post(head: string, body: string): string {
  return `${head}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
}

/** Opens the stream of a session. */
export function listenIn(url: string, session: string): string {
  const { host, pathname } = new URL(url)
  const head = `GET ${pathname} HTTP/1.1\r\nHost: ${host}\r\nAccept: text/event-stream\r\nMCP-Protocol-Version: ${LEGACY}\r\n`
  return `${head}${SESSION_HEADER}: ${session}\r\n\r\n`
}
