import type { Agent, IncomingMessage } from 'node:http'
import { CatflapError } from '../errors.ts'
import type { Passage } from './passage.ts'
import { byName } from './passage-answer.ts'

/** How a passthrough asks its target. */

/** What http-proxy-3 sees of a request: what is to be sent, instead of what came. */
export interface ProxyView {
  readonly method: string
  readonly url: string
  readonly headers: Record<string, string | string[]>
  readonly httpVersion: '1.1'
  readonly httpVersionMajor: 1
  readonly socket: { readonly destroyed: false }
  on(event: string, listener: (...args: unknown[]) => void): unknown
  readonly passage: Passage
  /** Who is asked, by its place among the targets. */
  readonly server: number
}

/** How the content is framed for the target: as it came, where that is HTTP/1.1. */
export function framingOf(req: IncomingMessage): { readonly header?: readonly string[]; readonly length?: number } {
  const length = req.headers['content-length']
  const encoding = req.headers['transfer-encoding']
  if (encoding !== undefined && (length !== undefined || encoding.trim().toLowerCase() !== 'chunked'))
    throw new CatflapError('bad_http', 'The only Transfer-Encoding that is taken is chunked.')
  if (length !== undefined) {
    if (!/^\d{1,15}$/.test(length)) throw new CatflapError('bad_http')
    return { header: ['Content-Length', length], length: Number(length) }
  }
  const { endAfterHeaders } = (req as { stream?: { endAfterHeaders?: boolean } }).stream ?? { endAfterHeaders: true }
  return encoding !== undefined || !endAfterHeaders ? { header: ['Transfer-Encoding', 'chunked'] } : {}
}

/** GET and HEAD that bring nothing: they may be asked of another server when the first could not be reached. */
export function bodyless(req: IncomingMessage): boolean {
  if (req.method !== 'GET' && req.method !== 'HEAD') return false
  const { header, length } = framingOf(req)
  return header === undefined || length === 0
}

export function viewOf(
  passage: Passage,
  {
    server,
    url,
    headers,
    method = '*'
  }: { readonly server: number; readonly url: string; readonly headers: readonly string[]; readonly method?: string }
): ProxyView {
  return {
    method,
    url,
    headers: byName(headers),
    httpVersion: '1.1',
    httpVersionMajor: 1,
    socket: { destroyed: false },
    on: (event, listener) => passage.req.on(event, listener),
    passage,
    server
  }
}

export function passageOf(req: IncomingMessage): Passage {
  return (req as unknown as ProxyView).passage
}

export function serverOf(req: IncomingMessage): number {
  return (req as unknown as ProxyView).server
}

/**
 * A connection for each request: what one client sends can never be taken for another's, and none is closed by the target at
 * the moment it is used again.
 */
export function agentFor(target: URL, { ca, insecure }: { readonly ca?: string; readonly insecure?: boolean }): Agent {
  if (target.protocol !== 'https:') return new (process.getBuiltinModule('node:http').Agent)({ keepAlive: false })
  // Node takes `ca` in place of the authorities it trusts by itself; ours come on top of them.
  const own = ca === undefined ? undefined : [...process.getBuiltinModule('node:tls').getCACertificates('default'), ca]
  const { Agent } = process.getBuiltinModule('node:https')
  return new Agent({ keepAlive: false, ca: own, rejectUnauthorized: !insecure })
}
