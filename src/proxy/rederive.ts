import { standardHeaders } from '../protocol/header-rules.ts'
import { getHeader, removeHeader, setHeader, VERSION_HEADER } from '../protocol/headers.ts'
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

function deriveHeaders(headers: string[], message: Message): void {
  const derived = standardHeaders(message)
  if (getHeader(derived, 'mcp-name') === undefined) removeHeader(headers, 'mcp-name')
  for (let i = 0; i < derived.length; i += 2) {
    // A client that left the version out of its headers is for the server to judge.
    if (derived[i] === 'MCP-Protocol-Version' && getHeader(headers, VERSION_HEADER) === undefined) continue
    setHeader(headers, derived[i]!, derived[i + 1]!)
  }
}
