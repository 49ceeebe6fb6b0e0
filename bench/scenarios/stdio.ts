/** A stdio server behind, clients on Streamable HTTP. */
import path from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import type { Whole } from '../load/connection.ts'
import {
  CALL_TEMPLATE,
  filled,
  MODERN_HEADERS,
  MODERN_RESULT_TEMPLATE,
  MODERN_TEMPLATE,
  RESULT_TEMPLATE
} from '../load/messages.ts'
import { sameBytes } from '../load/sessions.ts'
import { saturation } from './saturation.ts'
import { CORES, CPU, P50, P99, RATE, SATURATED, type Scenario } from './scenario.ts'

export const stdioServer = [
  process.execPath,
  '--no-warnings',
  path.join(import.meta.dirname, '../servers/stdio.ts')
] as const

export const stdio: Scenario = {
  name: 'stdio',
  title: 'A stdio server behind',
  says:
    'A `tools/call` of one legacy session, 32 at once, to a server on stdio that answers at once. Processor time is that of the peer and of ' +
    'the server it started. What catflap answers is compared byte by byte; gateways that write messages anew need only mean the same, and may add `_meta`.',
  metrics: [RATE, ...SATURATED, CPU, CORES],
  base: 'mcp-proxy',
  front: 'stdio',
  server: async () => ({ target: { command: stdioServer } }),
  open: (peer, kind, context) =>
    saturation(peer, context, {
      messages: [CALL_TEMPLATE],
      expected: id => filled(RESULT_TEMPLATE, id),
      anySession: true,
      matches: kind.name.startsWith('catflap') ? sameBytes : sameMessage
    })
}

export const stdioOneConnection: Scenario = {
  ...stdio,
  name: 'stdio-one-connection',
  title: 'A stdio server behind, one connection',
  says: 'The same, one call after the other.',
  metrics: [{ ...P50, digits: 3 }, { ...P99, digits: 3 }, RATE],
  open: (peer, kind, context) =>
    saturation(peer, context, {
      messages: [CALL_TEMPLATE],
      expected: id => filled(RESULT_TEMPLATE, id),
      anySession: true,
      connections: 1,
      matches: kind.name.startsWith('catflap') ? sameBytes : sameMessage
    })
}

export const stdioModern: Scenario = {
  ...stdio,
  name: 'stdio-modern',
  title: 'A stdio server behind, revision 2026-07-28',
  says: 'The same from clients of the modern era, who have no sessions, to a server that speaks both.',
  open: (peer, kind, context) =>
    saturation(peer, context, {
      messages: [MODERN_TEMPLATE],
      headers: MODERN_HEADERS,
      expected: id => filled(MODERN_RESULT_TEMPLATE, id),
      sessions: 0,
      matches: kind.name.startsWith('catflap') ? sameBytes : sameMessage
    })
}

/** One JSON-RPC message, as JSON or as the only event with data of a stream, that means what was expected. */
function sameMessage({ status, head, body }: Whole, expected: string): boolean {
  if (status !== 200) return false
  const text = body.toString()
  const messages = /\r\ncontent-type: *text\/event-stream/i.test(head)
    ? [...text.matchAll(/^data: ?(.+)$/gm)].map(([, data]) => data!)
    : [text]
  if (messages.length !== 1) return false
  const message = JSON.parse(messages[0]!) as { result?: { _meta?: unknown } }
  // Whoever speaks for a server may add to it.
  delete message.result?._meta
  return isDeepStrictEqual(message, JSON.parse(expected))
}
