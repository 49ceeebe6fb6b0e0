/** Speaks HTTP/1.1 to a client that knows nothing else, and HTTP/2 over TLS to what stands behind. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type ClientHttp2Session, connect, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http2'
import type { AddressInfo } from 'node:net'

const HOP_BY_HOP = new Set(['connection', 'keep-alive', 'transfer-encoding', 'host'])

export interface H2Front {
  readonly url: string
  close(): Promise<void>
}

export async function startH2Front(target: string, ca: string): Promise<H2Front> {
  const { origin, pathname } = new URL(target)
  let session = connect(origin, { ca })
  const live = (): ClientHttp2Session => {
    if (session.closed || session.destroyed) session = connect(origin, { ca })
    session.on('error', () => {})
    return session
  }
  const server = createServer((req, res) => pass(req, res, live(), origin))
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}${pathname}`,
    async close() {
      const closed = new Promise<void>(resolve => server.close(() => resolve()))
      server.closeAllConnections()
      await closed
      session.destroy()
    }
  }
}

function pass(req: IncomingMessage, res: ServerResponse, session: ClientHttp2Session, origin: string): void {
  const headers: OutgoingHttpHeaders = {
    ':method': req.method,
    ':path': req.url,
    ':authority': authorityOf(req, origin)
  }
  for (const [name, value] of Object.entries(req.headers)) if (!HOP_BY_HOP.has(name)) headers[name] = value
  const stream = session.request(headers)
  req.pipe(stream)
  stream.on('response', (answer: IncomingHttpHeaders) => {
    const ends = Object.entries(answer).filter(([name]) => !name.startsWith(':'))
    res.writeHead(Number(answer[':status']), Object.fromEntries(ends))
    res.flushHeaders()
    stream.pipe(res)
  })
  stream.on('error', () => res.destroy())
  res.on('close', () => stream.destroy())
}

/** Its own name for itself, unless the client pretends to have come to another: the port in between is nobody's business. */
function authorityOf(req: IncomingMessage, origin: string): string {
  const host = req.headers.host ?? ''
  return /^(?:127\.0\.0\.1|localhost)(?::\d+)?$/.test(host) ? new URL(origin).host : host
}
