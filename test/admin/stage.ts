/** Several routes behind one listener, put together from the parts of a proxy, with the admin listener beside them. */
import type { Test } from 'tap'
import { AdminListener, type AdminListenerOptions } from '../../src/admin/admin-listener.ts'
import type { Audit } from '../../src/admin/audit.ts'
import { ProxyView } from '../../src/admin/proxy-view.ts'
import type { AdminSubject } from '../../src/admin/subject.ts'
import { createLog, type Log } from '../../src/log.ts'
import type { RouteMetrics } from '../../src/metrics/route-metrics.ts'
import { Core, type MemberHealth, type Target } from '../../src/proxy/core.ts'
import { Drain, type DrainOptions } from '../../src/proxy/drain.ts'
import { type Interceptor, Pipeline } from '../../src/proxy/interceptor.ts'
import { interceptorList } from '../../src/proxy/interceptors.ts'
import { type SettingName, settings } from '../../src/proxy/options.ts'
import { endpoint } from '../../src/proxy/serve-http.ts'
import { ssePaths } from '../../src/proxy/serve-sse.ts'
import { openTarget, type TargetOptions } from '../../src/proxy/target.ts'
import { SessionManager } from '../../src/session/manager.ts'
import { MemorySessionStore } from '../../src/session/memory-store.ts'
import { FrameBus } from '../../src/tape/bus.ts'
import { HttpServer } from '../../src/transport/downstream/http-server.ts'
import type { JsonEvent } from '../helpers/catflap.ts'
import { Inbox } from '../helpers/wait.ts'

export interface RouteParts {
  readonly target: TargetOptions
  readonly settings?: Partial<Record<SettingName, number>>
  readonly observers?: readonly Interceptor[]
  readonly interceptors?: readonly Interceptor[]
  readonly tokens?: readonly string[]
  readonly metrics?: RouteMetrics
  readonly audit?: Audit
}

export interface Stage {
  readonly server: HttpServer
  readonly cores: ReadonlyMap<string, Core>
  /** Where the route of that name is served. */
  url(route: string): string
  /** Begins to drain; ended with the stage. */
  drain(options?: Partial<DrainOptions>): Drain
  close(): Promise<void>
}

/** A log whose events can be waited for. */
export function events(): { readonly log: Log; readonly inbox: Inbox<JsonEvent> } {
  const inbox = new Inbox<JsonEvent>('events in the log')
  const log = createLog({ level: 'debug', format: 'json', write: line => inbox.push(JSON.parse(line) as JsonEvent) })
  return { log, inbox }
}

export async function openStage(
  t: Test,
  routes: Readonly<Record<string, RouteParts>>,
  { log = events().log }: { readonly log?: Log } = {}
): Promise<Stage> {
  const cores = new Map<string, Core>()
  for (const [name, parts] of Object.entries(routes)) cores.set(name, await openCore(name, parts, log))
  const handlers = [...cores].map(([name, core]) => {
    const path = `/${name}/mcp`
    return [`/${name}/`, endpoint(core, { path, sse: ssePaths(path), via: undefined })] as const
  })
  const server = new HttpServer({ ...settings(), host: '127.0.0.1', port: 0 }, (req, reply) => {
    const found = handlers.find(([prefix]) => req.url?.startsWith(prefix)) ?? handlers[0]!
    found[1](req, reply)
  })
  const { port } = await server.listen()
  const drains: Drain[] = []
  let closing: Promise<void> | undefined
  const close = async (): Promise<void> => {
    for (const drain of drains) drain.hurry(0)
    await Promise.all(drains.map(drain => drain.run()))
    for (const core of cores.values()) core.cancelAll('shutdown')
    for (const core of cores.values()) await core.sessions.close()
    await server.flushed(100)
    await server.close()
    for (const core of cores.values()) {
      await core.target.close()
      core.deadlines.close()
    }
  }
  const closeOnce = (): Promise<void> => {
    closing ??= close()
    return closing
  }
  t.teardown(closeOnce)
  return {
    server,
    cores,
    url: route => `http://127.0.0.1:${port}/${route}/mcp`,
    drain(options = {}) {
      const drain = new Drain({ cores: () => cores.values(), listeners: [server], timeout: 10_000, log, ...options })
      drains.push(drain)
      return drain
    },
    close: closeOnce
  }
}

async function openCore(name: string, parts: RouteParts, log: Log): Promise<Core> {
  const chosen = settings(parts.settings)
  const { metrics, audit, observers, interceptors = [], tokens = [] } = parts
  const list = interceptorList({
    settings: chosen,
    host: '127.0.0.1',
    allowHosts: [],
    allowOrigins: [],
    tokens,
    metrics: metrics?.interceptor,
    observers,
    interceptors
  })
  const target: Target = await openTarget(parts.target, chosen)
  const plain = new MemorySessionStore({ maxSessions: chosen.maxSessions })
  const sessions = new SessionManager({
    store: metrics?.store(plain) ?? plain,
    target: target.name,
    log,
    reapEvery: 30_000,
    openLeg: record => {
      const upstreamId = record.legs[target.name]?.upstreamId
      return upstreamId === undefined ? undefined : target.resume(upstreamId)
    },
    onStart: session => audit?.sessionMade(session, name),
    onEnd: (session, why) => {
      metrics?.sessionEnded(session, why)
      audit?.sessionEnded(session, name, why)
    }
  })
  const bus = new FrameBus(() => {})
  const pipeline = new Pipeline(list)
  const core = new Core({ settings: chosen, log, bus, target, sessions, pipeline, meter: metrics })
  metrics?.watch({ core, recorder: undefined })
  return core
}

/** A target whose state a test sets. */
export function withHealth(core: Core, health: () => readonly MemberHealth[]): void {
  core.target.health = health
}

export interface AdminStage {
  readonly admin: string
  readonly subject: ProxyView
}

type Sharing = Pick<ConstructorParameters<typeof ProxyView>[0], 'shared' | 'storeFailure' | 'peersAt'>

export const TOKEN = 'the-secret-of-operators'

/** The admin listener of a stage. */
export async function openAdmin(
  t: Test,
  stage: Stage,
  {
    metricsText,
    audit,
    starting,
    sharing = {},
    ...options
  }: Partial<AdminListenerOptions> &
    Pick<AdminSubject, 'metricsText'> & { audit?: Audit; starting?: boolean; sharing?: Sharing } = {}
): Promise<AdminStage> {
  const subject = new ProxyView({
    routes: () => [...stage.cores].map(([name, core]) => ({ core, facts: { name, path: `/${name}/mcp` } })),
    listeners: () => [{ url: stage.url(''), protocols: ['http/1.1'], connections: stage.server.connections }],
    drain: request => stage.drain(request),
    metricsText,
    ...sharing
  })
  if (!starting) subject.ready()
  const listener = new AdminListener({ token: TOKEN, ...options }, subject, audit)
  const admin = await listener.listen()
  t.teardown(() => listener.close())
  return { admin, subject }
}
