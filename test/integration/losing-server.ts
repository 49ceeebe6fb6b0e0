/** A server with sessions that can lose them, scripted: what it is asked and what it says is the test's to decide. */
import type { Test } from 'tap'
import type { RawExchange } from '../fixtures/servers/raw-exchange.ts'
import { type RawHttpServer, type Script, startRawHttp } from '../fixtures/servers/raw-http.ts'
import { echoOf, methodOf } from '../fixtures/servers/raw-json.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { type DoorOptions, openDoor } from './http-door.ts'

export const INFO = {
  protocolVersion: '2025-11-25',
  capabilities: {
    logging: {},
    tools: { listChanged: true },
    resources: { subscribe: true, listChanged: true },
    prompts: {}
  },
  serverInfo: { name: 'losing', version: '1' }
}

export interface LosingServer {
  readonly server: RawHttpServer
  /** What `initialize` is answered with, from the next one on. */
  info: object
  /** In the place of an answer to `initialize`, to anything in a session. */
  onInitialize: Script | undefined
  onRequest: Script | undefined
  /** For what belongs to no session. */
  notFound: Script
  /** Each `initialize` that came. */
  readonly initializes: readonly RawExchange[]
  /** Methods of what was accepted in a session, in order; `GET`, `response`. */
  readonly accepted: readonly string[]
  /** Streams that are open. */
  readonly streams: readonly RawExchange[]
  /** Forgets all sessions. */
  lose(): void
  /** Of what came in sessions, accepted or not. */
  of(method: string): RawExchange[]
}

export async function losingServer(): Promise<LosingServer> {
  const live = new Set<string>()
  const initializes: RawExchange[] = []
  const accepted: string[] = []
  const streams: RawExchange[] = []
  let made = 0
  const script: Script = x => {
    const method = x.method === 'POST' ? (methodOfBody(x.text) ?? 'response') : x.method
    if (method === 'initialize') {
      initializes.push(x)
      return losing.onInitialize ? losing.onInitialize(x) : begin(x)
    }
    const id = String(x.headers['mcp-session-id'])
    if (!live.has(id)) return losing.notFound(x)
    accepted.push(method)
    if (losing.onRequest) return losing.onRequest(x)
    if (method === 'DELETE') return void x.head(200).end()
    if (method === 'GET') return void streams.push(x.sse())
    answer(x)
  }
  const begin = (x: RawExchange): void => {
    const id = `upstream-${++made}`
    live.add(id)
    const request = JSON.parse(x.text) as { id: string | number }
    const result = { jsonrpc: '2.0', id: request.id, result: losing.info }
    x.json(200, JSON.stringify(result), ['Mcp-Session-Id', id])
  }
  const losing: LosingServer = {
    server: await startRawHttp(script),
    info: INFO,
    onInitialize: undefined,
    onRequest: undefined,
    notFound,
    initializes,
    accepted,
    streams,
    lose: () => live.clear(),
    of: method => losing.server.exchanges.filter(x => x.method === 'POST' && methodOfBody(x.text) === method)
  }
  return losing
}

/** As every server of the SDK says it. */
export function notFound(x: RawExchange): void {
  x.json(404, '{"jsonrpc":"2.0","error":{"code":-32001,"message":"Session not found"},"id":null}')
}

/** Requests get their own params back, anything else 202. */
export function answer(x: RawExchange): void {
  const echoed = x.text.startsWith('{') ? echoOf(x.text) : undefined
  if (echoed === undefined) x.head(202).end()
  else x.json(200, echoed)
}

function methodOfBody(text: string): string | undefined {
  return text.startsWith('{') ? methodOf(text) : 'batch'
}

export async function losingDoor(t: Test, options: DoorOptions = {}) {
  trackLeaks(t)
  const losing = await losingServer()
  t.teardown(() => losing.server.close())
  const door = await openDoor(t, losing.server.url, options)
  return { losing, door, url: door.url }
}
