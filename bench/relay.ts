/**
 * The relays that catflap is measured against, on the same two libraries: they buffer the request, send it on, and write head
 * and body as they come. They read no message, map no session, watch nothing, limit nothing.
 *
 *   node bench/relay.ts plain|bare http://127.0.0.1:3001/mcp
 *
 * `plain` is the straightforward one, as the manuals of both libraries show it: promises and streams. `bare` is the best form
 * of it that we could find: undici's lowest interface, neither a promise nor a stream on the way back.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { type Dispatcher, Pool } from 'undici'

const [form, target] = process.argv.slice(2)
const url = new URL(target!)
const pool = new Pool(url.origin, { connections: 256 })
const HOP_BY_HOP = new Set(['connection', 'keep-alive', 'transfer-encoding', 'te', 'trailer', 'upgrade', 'host'])

const server = createServer(form === 'bare' ? bare : plain)

async function plain(req: IncomingMessage, res: ServerResponse): Promise<void> {
  try {
    const answer = await pool.request(optionsOf(req, await buffer(req)))
    res.writeHead(answer.statusCode, endToEnd(answer.headers))
    answer.body.pipe(res)
  } catch {
    if (res.headersSent) res.destroy()
    else res.writeHead(502).end()
  }
}

function bare(req: IncomingMessage, res: ServerResponse): void {
  const chunks: Buffer[] = []
  req.on('data', chunk => chunks.push(chunk))
  req.on('end', () => dispatch(req, res, chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)))
}

function dispatch(req: IncomingMessage, res: ServerResponse, body: Buffer): void {
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
