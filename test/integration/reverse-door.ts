/** A reverse proxy in front of several servers, with everything torn down and counted afterwards. */
import type { Test } from 'tap'
import { createReverse, type Reverse, type ReverseOptions, type RouteOptions } from '../../src/index.ts'
import { type HttpServer, type HttpServerOptions, startHttpServer } from '../fixtures/servers/http-server.ts'

export const ANYWHERE = [{ host: '127.0.0.1', port: 0 }]

export async function openReverse(
  t: Test,
  routes: Readonly<Record<string, RouteOptions>>,
  options: Partial<ReverseOptions> = {}
): Promise<Reverse> {
  const proxy = await createReverse({ listeners: ANYWHERE, routes, ...options })
  t.teardown(async () => {
    await proxy.close({ drainTimeout: 0 })
    const { sessions, exchanges, connections } = proxy.stats
    if (sessions + exchanges + connections > 0) throw new Error(`left: ${JSON.stringify(proxy.stats)}`)
  })
  return proxy
}

export async function sdkServer(t: Test, options: HttpServerOptions = {}): Promise<HttpServer> {
  const server = await startHttpServer(options)
  t.teardown(() => server.close())
  return server
}

export function to(server: { readonly url: string }, more: Partial<RouteOptions> = {}): RouteOptions {
  return { targets: [{ url: server.url }], ...more }
}
