/**
 * The relays that catflap is measured against, on the same two libraries. They read no message, map no session, watch nothing,
 * limit nothing.
 *
 *   node bench/programs/relay.ts PORT plain|bare http://127.0.0.1:3001/mcp
 *
 * `plain` is the straightforward one, as the manuals of both libraries show it: promises and streams; the request is buffered,
 * head and body are written apart. `bare` is the best form that we could find: undici's lowest interface, no promise and
 * no stream, headers as the raw list they came in, and head and body in one write where the body comes whole.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { type Dispatcher, Pool } from 'undici'

const [port, form, target] = process.argv.slice(2)
const pool = new Pool(new URL(target!).origin, { headersTimeout: 0, bodyTimeout: 0 })
const HOP_BY_HOP = new Set(['connection', 'keep-alive', 'transfer-encoding', 'te', 'trailer', 'upgrade', 'host'])

async function plain(req: IncomingMessage, res: ServerResponse): Promise<void> {
  try {
    const answer = await pool.request(optionsOf(req, await buffer(req), endToEnd(req.headers)))
    res.writeHead(answer.statusCode, endToEnd(answer.headers))
    answer.body.on('error', () => res.destroy()).pipe(res)
    res.once('close', () => answer.body.destroy())
  } catch {
    if (res.headersSent) res.destroy()
    else res.writeHead(502).end()
  }
}

function endToEnd(headers: NodeJS.Dict<string | string[]>): Record<string, string | string[]> {
  const out: Record<string, string | string[]> = {}
  for (const name in headers) if (!HOP_BY_HOP.has(name)) out[name] = headers[name]!
  return out
}

function bare(req: IncomingMessage, res: ServerResponse): void {
  const chunks: Buffer[] = []
  req.on('data', chunk => chunks.push(chunk))
  req.on('end', () => {
    const body = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)
    pool.dispatch(optionsOf(req, body, rawEndToEnd(req.rawHeaders)), new Bare(res))
  })
}

const ONE_WRITE = 16 * 1024

class Bare implements Dispatcher.DispatchHandler {
  readonly #res: ServerResponse
  #controller: Dispatcher.DispatchController | undefined
  #left = -1

  constructor(res: ServerResponse) {
    this.#res = res
    res.once('close', () => {
      if (!res.writableFinished) this.#controller?.abort(new Error('the client left'))
    })
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, headers: Record<string, unknown>): void {
    const raw = rawEndToEnd(texts(controller.rawHeaders as readonly (Buffer | string)[]))
    this.#left = Number(headers['content-length'] ?? -1)
    this.#res.writeHead(status, raw)
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#left -= chunk.length
    if (this.#left === 0) this.#last(chunk)
    else if (!this.#res.write(chunk)) {
      controller.pause()
      this.#res.once('drain', () => controller.resume())
    }
  }

  /** Head and body as one string are one write; as head and Buffer they are a gathering write of two, which costs more. */
  #last(chunk: Buffer): void {
    if (chunk.length <= ONE_WRITE) this.#res.end(chunk.toString('latin1'), 'latin1')
    else this.#res.end(chunk)
  }

  onResponseEnd(): void {
    if (!this.#res.writableEnded) this.#res.end()
  }

  onResponseError(): void {
    if (this.#res.headersSent) this.#res.destroy()
    else this.#res.writeHead(502).end()
  }
}

function texts(raw: readonly (Buffer | string)[]): string[] {
  return raw.map(field => (typeof field === 'string' ? field : field.toString('latin1')))
}

function rawEndToEnd(raw: readonly string[]): string[] {
  const out: string[] = []
  for (let i = 0; i < raw.length; i += 2) if (!HOP_BY_HOP.has(raw[i]!.toLowerCase())) out.push(raw[i]!, raw[i + 1]!)
  return out
}

function optionsOf(
  req: IncomingMessage,
  body: Buffer,
  headers: Dispatcher.DispatchOptions['headers']
): Dispatcher.DispatchOptions {
  const method = (req.method ?? 'GET') as Dispatcher.HttpMethod
  return { path: req.url ?? '/', method, headers, body: body.length > 0 ? body : null }
}

const server = createServer({ keepAliveTimeout: 600_000, noDelay: true }, form === 'bare' ? bare : plain)
server.listen({ port: Number(port), host: '127.0.0.1', backlog: 4096 })
process.once('SIGTERM', () => process.exit(0))
