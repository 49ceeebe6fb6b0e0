/**
 * The server behind where nginx cannot be: it streams. What it answers with follows from a header of the request.
 *
 *   node bench/servers/streams.ts PORT
 */
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { setTimeout as pause, setImmediate as turn } from 'node:timers/promises'
import { BROADCAST, INITIALIZED, RESULT, SESSION_HEADER, STREAM } from '../load/messages.ts'
import { ANSWER_HEADER, BLOCK, floodEvent, LARGE_AFTER, LARGE_BEFORE, PACE_MS } from './streams-wire.ts'

const JSON_TYPE = { 'content-type': 'application/json' }
const SSE_TYPE = { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' }
const listeners = new Set<ServerResponse>()

const server = createServer({ keepAliveTimeout: 600_000, requestTimeout: 0 }, (req, res) => {
  if (req.method === 'GET') return listen(res)
  req.resume().once('end', () => void answer(req, res).catch(() => res.destroy()))
})

function listen(res: ServerResponse): void {
  listeners.add(res)
  res.once('close', () => listeners.delete(res))
  res.writeHead(200, SSE_TYPE)
  res.write(': open\n\n')
}

async function answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
  if (req.method === 'DELETE') return void res.writeHead(200).end()
  const [kind, size] = String(req.headers[ANSWER_HEADER.toLowerCase()] ?? '').split('=')
  // A subscription of the modern era, which has no sessions.
  if (kind === 'listen') return listen(res)
  if (req.headers[SESSION_HEADER.toLowerCase()] === undefined)
    return void res.writeHead(200, { ...JSON_TYPE, [SESSION_HEADER]: randomUUID() }).end(INITIALIZED)
  switch (kind) {
    case 'stream':
      return stream(res)
    case 'paced':
      return paced(res)
    case 'large':
      return large(res, Number(size))
    case 'flood':
      return flood(res, Number(size))
    case 'broadcast':
      for (const listener of listeners) listener.write(BROADCAST)
  }
  res.writeHead(200, JSON_TYPE).end(RESULT)
}

/** Each event by itself, as servers send them, and others' events in between. */
async function stream(res: ServerResponse): Promise<void> {
  res.writeHead(200, SSE_TYPE)
  for (const event of STREAM) {
    res.write(event)
    await turn()
  }
  res.end()
}

async function paced(res: ServerResponse): Promise<void> {
  res.writeHead(200, SSE_TYPE)
  for (const event of STREAM) {
    res.write(event)
    await pause(PACE_MS)
  }
  res.end()
}

async function large(res: ServerResponse, blocks: number): Promise<void> {
  const length = LARGE_BEFORE.length + blocks * BLOCK.length + LARGE_AFTER.length
  res.writeHead(200, { ...JSON_TYPE, 'content-length': length })
  res.write(LARGE_BEFORE)
  await writeAll(res, BLOCK, blocks)
  res.end(LARGE_AFTER)
}

async function flood(res: ServerResponse, events: number): Promise<void> {
  res.writeHead(200, SSE_TYPE)
  await writeAll(res, floodEvent(), events)
  res.end(STREAM.at(-1))
}

/** Goes on as fast as it is read. */
async function writeAll(res: ServerResponse, bytes: Buffer, times: number): Promise<void> {
  for (let i = 0; i < times && !res.destroyed; i++) {
    if (!res.write(bytes)) await Promise.race([once(res, 'drain'), once(res, 'close')])
  }
}

server.listen({ port: Number(process.argv[2]), host: '127.0.0.1', backlog: 4096 })
process.once('SIGTERM', () => process.exit(0))
