/**
 * The relay that catflap is measured against: what one writes in an afternoon, on the same two libraries, with no step that
 * is slower than it need be. It buffers the request, sends it on, and writes head and body as they come. It reads no message,
 * maps no session, watches nothing, limits nothing.
 *
 *   node bench/relay.ts http://127.0.0.1:3001/mcp
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type Dispatcher, Pool } from 'undici'

const url = new URL(process.argv[2]!)
const pool = new Pool(url.origin, { connections: 256 })
const HOP_BY_HOP = new Set(['connection', 'keep-alive', 'transfer-encoding', 'te', 'trailer', 'upgrade', 'host'])

const server = createServer({ noDelay: true }, (req, res) => {
  const chunks: Buffer[] = []
  req.on('data', chunk => chunks.push(chunk))
  req.on('end', () => relay(req, res, Buffer.concat(chunks)))
})

function relay(req: IncomingMessage, res: ServerResponse, body: Buffer): void {
  const { method = 'GET', headers } = req
  pool.dispatch(
    {
      origin: url.origin,
      path: req.url ?? '/',
      method: method as Dispatcher.HttpMethod,
      headers: endToEnd(headers),
      body: body.length > 0 ? body : null
    },
    {
      onRequestStart() {},
      onResponseStart(_controller, status, answered) {
        res.writeHead(status, endToEnd(answered))
      },
      onResponseData(_controller, chunk) {
        res.write(chunk)
      },
      onResponseEnd() {
        res.end()
      },
      onResponseError() {
        res.headersSent ? res.destroy() : res.writeHead(502).end()
      }
    }
  )
}

function endToEnd(headers: NodeJS.Dict<string | string[]>): Record<string, string | string[]> {
  const out: Record<string, string | string[]> = {}
  for (const name in headers) if (!HOP_BY_HOP.has(name)) out[name] = headers[name]!
  return out
}

server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo
  process.stderr.write(`${JSON.stringify({ event: 'listening', url: `http://127.0.0.1:${port}/mcp` })}\n`)
})
process.once('SIGTERM', () => process.exit(0))
