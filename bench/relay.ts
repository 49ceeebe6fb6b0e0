/**
 * The relays that catflap is measured against, on the same two libraries: they buffer the request, send it on, and write head
 * and body as they come. They read no message, map no session, watch nothing, limit nothing.
 *
 *   node bench/relay.ts request|dispatch http://127.0.0.1:3001/mcp
 *
 * `request` is what one writes in an afternoon, with undici's promises and streams. `dispatch` is the best form of it that we
 * could find: undici's lowest interface, no promise and no stream on the way back.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type Dispatcher, Pool } from 'undici'

const [form, target] = process.argv.slice(2)
const url = new URL(target!)
const pool = new Pool(url.origin, { connections: 256 })
const relay = form === 'dispatch' ? byDispatch : byRequest
const HOP_BY_HOP = new Set(['connection', 'keep-alive', 'transfer-encoding', 'te', 'trailer', 'upgrade', 'host'])

const server = createServer({ noDelay: true }, (req, res) => {
  const chunks: Buffer[] = []
  req.on('data', chunk => chunks.push(chunk))
  req.on('end', () => relay(req, res, Buffer.concat(chunks)))
})

function byRequest(req: IncomingMessage, res: ServerResponse, body: Buffer): void {
  pool.request(optionsOf(req, body)).then(
    answer => {
      res.writeHead(answer.statusCode, endToEnd(answer.headers))
      answer.body.on('data', chunk => res.write(chunk))
      answer.body.on('end', () => res.end())
      answer.body.on('error', () => res.destroy())
    },
    () => res.writeHead(502).end()
  )
}

function byDispatch(req: IncomingMessage, res: ServerResponse, body: Buffer): void {
  pool.dispatch(optionsOf(req, body), {
    onRequestStart() {},
    onResponseStart(_controller, status, headers) {
      res.writeHead(status, endToEnd(headers))
    },
    onResponseData(_controller, chunk) {
      res.write(chunk)
    },
    onResponseEnd() {
      res.end()
    },
    onResponseError() {
      if (res.headersSent) res.destroy()
      else res.writeHead(502).end()
    }
  })
}

function optionsOf(req: IncomingMessage, body: Buffer): Dispatcher.DispatchOptions {
  return {
    path: req.url ?? '/',
    method: (req.method ?? 'GET') as Dispatcher.HttpMethod,
    headers: endToEnd(req.headers),
    body: body.length > 0 ? body : null
  }
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
