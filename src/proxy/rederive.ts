import { getHeader, removeHeader, setHeader } from '../protocol/headers.ts'
import type { Message } from '../protocol/message.ts'
import type { Exchange } from './exchange.ts'

/**
 * The one way a changed message gets into an exchange: whatever derives from it is made anew. Content-Length follows from the
 * body; the `Mcp-*` headers mirror it (spec 2026-07-28 basic/transports/streamable-http, "Request Metadata"), and a server
 * must refuse a request where they disagree.
 */
export function applyChange(x: Exchange, messages: readonly Message[]): void {
  if (x.batch) {
    x.batch = messages
    const parts = messages.flatMap((m, i) => (i === 0 ? [m.bytes] : [COMMA, m.bytes]))
    x.body = Buffer.concat([OPEN, ...parts, CLOSE])
  } else {
    const message = messages[0]!
    x.message = message
    x.body = message.bytes
    if (x.era === 'modern') deriveHeaders(x.headers, message)
  }
  if (x.core.bus.active) for (const message of messages) x.core.tap.changedUp(x, message)
}

const OPEN = Buffer.from('[')
const COMMA = Buffer.from(',')
const CLOSE = Buffer.from(']')

/** The requests whose `Mcp-Name` the spec asks for (same page, "Standard Request Headers"). */
const NAMED = new Set(['tools/call', 'resources/read', 'prompts/get'])

function deriveHeaders(headers: string[], message: Message): void {
  if (message.method !== undefined) setHeader(headers, 'Mcp-Method', message.method)
  if (message.name === undefined || !NAMED.has(message.method ?? '')) removeHeader(headers, 'mcp-name')
  else setHeader(headers, 'Mcp-Name', encodeHeaderValue(message.name))
  if (message.metaVersion !== undefined && getHeader(headers, 'mcp-protocol-version') !== undefined)
    setHeader(headers, 'MCP-Protocol-Version', message.metaVersion)
}

/** Base64 where a header could not carry the value (same page, "Value Encoding"). */
export function encodeHeaderValue(value: string): string {
  const plain = /^[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?$/.test(value) || value === ''
  const sentinel = value.startsWith('=?base64?') && value.endsWith('?=')
  return plain && !sentinel ? value : `=?base64?${Buffer.from(value).toString('base64')}?=`
}
