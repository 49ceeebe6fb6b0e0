/** A small relay of HTTP that is right as long as its mutation says nothing else. */
import { type ClientRequest, createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import type { Mutation, Relayed } from './mutations.ts'

const HOP_BY_HOP = new Set(['connection', 'keep-alive', 'transfer-encoding', 'content-length'])

export interface Relay {
  readonly url: string
  close(): Promise<void>
}

export async function startRelay(target: string, mutation: Mutation): Promise<Relay> {
  let before: Promise<void> = Promise.resolve()
  const server = createServer((req, res) => {
    const turn = mutation.oneAtATime && req.method === 'POST' ? before : Promise.resolve()
    const done = turn.then(() => relay(req, res, target, mutation)).catch(() => void res.destroy())
    if (req.method === 'POST') before = done
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}${new URL(target).pathname}`,
    async close() {
      const closed = new Promise<void>(resolve => server.close(() => resolve()))
      server.closeAllConnections()
      await closed
    }
  }
}

async function relay(req: IncomingMessage, res: ServerResponse, target: string, mutation: Mutation): Promise<void> {
  const seen: Relayed = { method: req.method ?? '', headers: endToEnd(req), body: await text(req) }
  const relayed = mutation.request?.(seen) ?? seen
  if (typeof relayed === 'number') {
    res.writeHead(relayed).end()
    return
  }
  if (mutation.asksTwice?.(relayed)) await text(await ask(requestOf(target, relayed), relayed))
  const upstream = requestOf(target, relayed)
  res.once('close', () => {
    if (!mutation.keepsAbandoned || res.writableFinished) upstream.destroy()
  })
  await answerWith(await ask(upstream, relayed), res, mutation)
}

function requestOf(target: string, { method, headers, body }: Relayed): ClientRequest {
  const length = body === '' ? {} : { 'content-length': Buffer.byteLength(body) }
  return request(target, { method, headers: { ...headers, ...length }, agent: false })
}

function ask(upstream: ClientRequest, { body }: Relayed): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    upstream.once('response', resolve)
    upstream.on('error', reject)
    upstream.end(body)
  })
}

async function answerWith(answer: IncomingMessage, res: ServerResponse, mutation: Mutation): Promise<void> {
  const reply = { status: answer.statusCode ?? 502, headers: endToEnd(answer) }
  const { status, headers } = mutation.reply?.(reply) ?? reply
  if (!headers['content-type']?.includes('text/event-stream') || mutation.buffersStreams) {
    const body = await text(answer)
    res.writeHead(status, headers).end(mutation.body?.(body) ?? body)
    return
  }
  res.writeHead(status, headers).flushHeaders()
  let pending = ''
  for await (const chunk of answer.setEncoding('utf8') as AsyncIterable<string>) {
    const events = (pending + chunk).split('\n\n')
    pending = events.pop() ?? ''
    for (const event of events.flatMap(whole => mutation.event?.(whole) ?? [whole]))
      if (!(mutation.losesWhenSlow && res.writableNeedDrain)) res.write(`${event}\n\n`)
  }
  res.end(pending)
}

function endToEnd(message: IncomingMessage): Record<string, string> {
  const headers = Object.entries(message.headers).filter(([name]) => !HOP_BY_HOP.has(name))
  return Object.fromEntries(headers.map(([name, value]) => [name, String(value)]))
}
