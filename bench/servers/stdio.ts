/**
 * The server behind gateways to stdio: it answers each line at once, and does as little as possible for it.
 *
 *   node bench/servers/stdio.ts
 */
import { createInterface } from 'node:readline'
import { filled, INITIALIZED, MODERN, MODERN_RESULT_TEMPLATE, RESULT_TEMPLATE } from '../load/messages.ts'

interface Line {
  readonly id?: string | number
  readonly method?: string
  readonly params?: { readonly protocolVersion?: string; readonly _meta?: object }
}

const TOOLS = { tools: [{ name: 'weather', inputSchema: { type: 'object' } }] }
const { result: initialized } = JSON.parse(INITIALIZED) as { result: { capabilities: object; serverInfo: object } }
/** Whoever finds out which revisions it speaks keeps that as long as possible. */
const CACHE = { ttlMs: 3_600_000, cacheScope: 'public' }

createInterface({ input: process.stdin }).on('line', text => {
  const line = JSON.parse(text) as Line
  if (line.id === undefined || line.method === undefined) return
  process.stdout.write(`${answer(line)}\n`)
})

function answer(line: Line): string {
  const { id, method, params } = line
  const modern = Object.keys(params?._meta ?? {}).some(name => name.endsWith('/protocolVersion'))
  if (method === 'tools/call') return filled(modern ? MODERN_RESULT_TEMPLATE : RESULT_TEMPLATE, JSON.stringify(id))
  const result = resultOf(line)
  if (result === undefined)
    return JSON.stringify({ jsonrpc: '2.0', id, error: { code: -32601, message: 'Method not found' } })
  return JSON.stringify({ jsonrpc: '2.0', id, result: modern ? { resultType: 'complete', ...result } : result })
}

function resultOf({ method, params }: Line): object | undefined {
  switch (method) {
    case 'initialize':
      return { ...initialized, protocolVersion: params?.protocolVersion }
    case 'server/discover':
      return { supportedVersions: [MODERN], ...initialized, ...CACHE }
    case 'tools/list':
      return { ...TOOLS, ...CACHE }
    case 'ping':
      return {}
    default:
      return undefined
  }
}
