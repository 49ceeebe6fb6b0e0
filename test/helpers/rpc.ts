/** JSON-RPC messages and the headers that go with them. */

export type Id = string | number

export interface Rpc {
  readonly jsonrpc: '2.0'
  readonly id?: Id
  readonly method: string
  readonly params?: Record<string, unknown>
}

export const LEGACY_VERSION = '2025-11-25'
export const MODERN_VERSION = '2026-07-28'

export function rpc(id: Id, method: string, params?: Record<string, unknown>): Rpc {
  return { jsonrpc: '2.0', id, method, ...(params && { params }) }
}

export function notification(method: string, params?: Record<string, unknown>): Rpc {
  return { jsonrpc: '2.0', method, ...(params && { params }) }
}

export function toolCall(id: Id, name: string, args: Record<string, unknown> = {}): Rpc {
  return rpc(id, 'tools/call', { name, arguments: args })
}

export function initialize(id: Id = 0, protocolVersion = LEGACY_VERSION, capabilities: object = {}): Rpc {
  return rpc(id, 'initialize', { protocolVersion, capabilities, clientInfo: { name: 'raw-client', version: '0' } })
}

/** The request with the `_meta` that 2026-07-28 requires. */
export function modern(message: Rpc, capabilities: object = {}, meta: Record<string, unknown> = {}): Rpc {
  const _meta = {
    'io.modelcontextprotocol/protocolVersion': MODERN_VERSION,
    'io.modelcontextprotocol/clientInfo': { name: 'raw-client', version: '0' },
    'io.modelcontextprotocol/clientCapabilities': capabilities,
    ...meta
  }
  return { ...message, params: { ...message.params, _meta } }
}

/** What every POST of the Streamable HTTP transport carries. */
export const POST_HEADERS = {
  'content-type': 'application/json',
  accept: 'application/json, text/event-stream'
} as const

export function legacyHeaders(sessionId?: string, version = LEGACY_VERSION): Record<string, string> {
  return { ...POST_HEADERS, 'mcp-protocol-version': version, ...(sessionId && { 'mcp-session-id': sessionId }) }
}

/** The headers that 2026-07-28 derives from the body. */
export function modernHeaders(message: Rpc): Record<string, string> {
  const { name, uri } = { ...message.params } as { name?: string; uri?: string }
  const target = name ?? uri
  return {
    ...POST_HEADERS,
    'mcp-protocol-version': MODERN_VERSION,
    'mcp-method': message.method,
    ...(target !== undefined && { 'mcp-name': target })
  }
}
