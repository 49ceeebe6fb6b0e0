/** A door in front of a raw or a real server, with everything torn down and counted afterwards. */
import type { Test } from 'tap'
import { createForward, type Forward, type ForwardOptions, type Interceptor, type Outcome } from '../../src/index.ts'
import { type HttpServer, type HttpServerOptions, startHttpServer } from '../fixtures/servers/http-server.ts'
import { type RawHttpServer, type Script, startRawHttp } from '../fixtures/servers/raw-http.ts'
import {
  connectHttp,
  HANDLERS,
  type HttpClientOptions,
  type HttpTestClient,
  type TestClient
} from '../helpers/clients.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { rawPost } from '../helpers/raw-client.ts'
import { initialize, legacyHeaders, notification } from '../helpers/rpc.ts'
import { Inbox } from '../helpers/wait.ts'

export type DoorOptions = Partial<ForwardOptions>

/** The door alone; what it holds must be nothing once it is closed. */
export async function openDoor(t: Test, url: string, options: DoorOptions = {}): Promise<Forward & { url: string }> {
  const door = await createForward({ target: { url }, ...options })
  t.teardown(async () => {
    await door.close({ drainTimeout: 0 })
    const { sessions, exchanges, streams, connections } = door.stats
    if (sessions + exchanges + streams + connections > 0) throw new Error(`left: ${JSON.stringify(door.stats)}`)
  })
  return door as Forward & { url: string }
}

export interface RawDoor {
  readonly server: RawHttpServer
  readonly door: Forward
  readonly url: string
}

export async function rawDoor(t: Test, script?: Script, options?: DoorOptions): Promise<RawDoor> {
  trackLeaks(t)
  const server = await startRawHttp(script)
  t.teardown(() => server.close())
  const door = await openDoor(t, server.url, options)
  return { server, door, url: door.url }
}

export interface SdkDoor {
  readonly server: HttpServer
  readonly door: Forward
  readonly url: string
}

export async function sdkDoor(t: Test, served: HttpServerOptions = {}, options?: DoorOptions): Promise<SdkDoor> {
  trackLeaks(t)
  const server = await startHttpServer(served)
  t.teardown(() => server.close())
  const door = await openDoor(t, server.url, options)
  return { server, door, url: door.url }
}

export async function client(t: Test, url: string, options: HttpClientOptions = {}): Promise<HttpTestClient> {
  const c = await connectHttp(url, { handlers: HANDLERS, ...options })
  t.teardown(() => c.close())
  return c
}

/** The text of a tool's answer. */
export async function callTool(c: TestClient, name: string, args: Record<string, unknown> = {}): Promise<string> {
  const result = await c.client.callTool({ name, arguments: args })
  return (result as { content: { text: string }[] }).content[0]?.text ?? ''
}

/** A session made by hand; returns the id that the client was given. */
export async function rawSession(url: string, version?: string, headers: Record<string, string> = {}): Promise<string> {
  const answer = await rawPost(url, initialize(0, version), headers)
  const id = answer.headers['mcp-session-id']
  if (typeof id !== 'string') throw new Error(`no session: ${answer.status} ${answer.text}`)
  await rawPost(url, notification('notifications/initialized'), { ...legacyHeaders(id, version), ...headers })
  return id
}

export interface Watcher extends Interceptor {
  /** The ids (as JSON) of requests on their way to the server; the kind of exchanges without one. */
  readonly passed: Inbox<string>
  /** How each exchange ended. */
  readonly ended: Inbox<Outcome>
}

/** Tells when something happens inside the door, where neither end could see it. */
export function watcher(): Watcher {
  const passed = new Inbox<string>('requests that passed')
  const ended = new Inbox<Outcome>('outcomes')
  return {
    name: 'watcher',
    passed,
    ended,
    request(x) {
      passed.push(x.message?.idText ?? x.kind)
      return undefined
    },
    end: (_, outcome) => ended.push(outcome)
  }
}
