import { CatflapError } from '../errors.ts'
import { type SharedScrape, TEXT_TYPE } from '../metrics/shared-scrape.ts'
import { MAX_DURATION, parseDuration } from '../proxy/options.ts'
import type { Audit } from './audit.ts'
import { OPENAPI } from './openapi.ts'
import { badParameter } from './problem.ts'
import { sessionPage } from './session-pages.ts'
import { whyStore } from './store-view.ts'
import { type AdminSubject, isServable, type RouteView, type StoreView, whyNot } from './subject.ts'

/** What a request is about, once it may be answered. */
export interface Ask {
  readonly subject: AdminSubject
  readonly audit: Audit | undefined
  readonly scrape: SharedScrape | undefined
  readonly query: URLSearchParams
  /** What stands in the path where its template has a name in braces. */
  readonly named: string
  /** Who asks: a hash of the token; undefined where none was presented, which is enough for probes. */
  readonly who: string | undefined
}

export interface Reply {
  readonly status: number
  /** A value goes out as JSON; bytes as they are, with a type of their own among the headers. */
  readonly body?: object | Buffer
  /** Name, value, name, value … */
  readonly headers?: readonly string[]
}

export type Operation = (ask: Ask) => Reply | Promise<Reply>

export interface Endpoint {
  /** As in the OpenAPI document; at most one name in braces, at the end. */
  readonly path: string
  /** Probes have no token: they are told yes or no. */
  readonly open?: true
  readonly operations: Readonly<Partial<Record<'GET' | 'POST' | 'DELETE', Operation>>>
}

export const ENDPOINTS: readonly Endpoint[] = [
  { path: '/livez', open: true, operations: { GET: () => ({ status: 200, body: { status: 'ok' } }) } },
  { path: '/readyz', open: true, operations: { GET: readyz } },
  { path: '/metrics', operations: { GET: metrics } },
  { path: '/openapi.json', operations: { GET: () => ({ status: 200, body: OPENAPI }) } },
  { path: '/api/status', operations: { GET: status } },
  { path: '/api/sessions', operations: { GET: sessions } },
  { path: '/api/sessions/{handle}', operations: { DELETE: endSession } },
  { path: '/api/drain', operations: { GET: drainProgress, POST: drain } }
]

/**
 * Ready to be sent clients. A route that is about to go does not count: its clients are served by its successor. Without its store it
 * can serve no session, and another instance may reach it still; one that goes on without it is worth more than none.
 */
function readyz({ subject, who }: Ask): Reply {
  const routes = subject.routes().filter(route => !route.retiring)
  const store = subject.store?.()
  const ready = subject.state === 'ready' && routes.every(isServable) && store?.state !== 'down'
  const answer = { status: ready ? 'ready' : 'not ready' }
  const all = { state: subject.state, routes: routes.map(readiness), ...(store && { store: storeReadiness(store) }) }
  const more = who === undefined ? {} : all
  return { status: ready ? 200 : 503, body: { ...answer, ...more } }
}

function readiness(route: RouteView): object {
  const ready = isServable(route)
  return { name: route.name, ready, ...(!ready && { why: whyNot(route) }) }
}

function storeReadiness(store: StoreView): object {
  const { state } = store
  return { ready: state !== 'down', state, ...(state !== 'up' && { why: whyStore(store) }) }
}

async function metrics({ scrape }: Ask): Promise<Reply> {
  if (!scrape) throw new CatflapError('not_found', 'No metrics are kept by this catflap.')
  return { status: 200, headers: ['Content-Type', TEXT_TYPE], body: await scrape.get() }
}

function status({ subject }: Ask): Reply {
  const { version, startedAt, state, drainProgress } = subject
  const store = subject.store?.()
  const body = {
    version,
    startedAt: time(startedAt),
    uptime: Math.max(0, Date.now() - startedAt) / 1000,
    state,
    listeners: subject.listeners(),
    routes: subject.routes().map(routeBody),
    ...(store && { store: { ...store, since: time(store.since) } }),
    ...(drainProgress && { drain: drainBody(subject) })
  }
  return { status: 200, body }
}

function routeBody(route: RouteView): object {
  const targets = route.targets.map(({ until, ...rest }) => ({
    ...rest,
    ...(until !== undefined && { until: time(until) })
  }))
  return { ...route, targets, ready: isServable(route) }
}

const MAX_PAGE = 1000
const DEFAULT_PAGE = 100

function sessions({ subject, query }: Ask): Reply {
  only(query, ['limit', 'cursor', 'route'])
  const route = query.get('route') ?? undefined
  if (route !== undefined && !subject.routes().some(({ name }) => name === route))
    throw badParameter('route', 'the name of a route')
  const text = query.get('limit') ?? String(DEFAULT_PAGE)
  const limit = /^\d{1,4}$/.test(text) ? Number(text) : 0
  if (limit < 1 || limit > MAX_PAGE) throw badParameter('limit', `a whole number from 1 to ${MAX_PAGE}`)
  const page = sessionPage(subject.sessions(), { limit, route, cursor: query.get('cursor') ?? undefined })
  const views = page.sessions.map(({ createdAt, lastSeenAt, ...rest }) => ({
    ...rest,
    createdAt: time(createdAt),
    lastSeenAt: time(lastSeenAt)
  }))
  return { status: 200, body: { ...page, sessions: views } }
}

const HANDLE = /^[\w-]{1,64}$/

async function endSession({ subject, named, audit, who }: Ask): Promise<Reply> {
  const ended = HANDLE.test(named) && (await subject.endSession(named))
  if (!ended) throw new CatflapError('session_not_found', 'No session goes by this handle.')
  audit?.adminAction('end-session', who, { session: named })
  return { status: 204 }
}

function drain({ subject, query, audit, who }: Ask): Reply {
  only(query, ['timeout', 'grace'])
  const request = { ...duration(query, 'timeout'), ...duration(query, 'grace') }
  // What is going on already is not begun once more, however often one asks.
  if (!subject.drainProgress) audit?.adminAction('drain', who, request)
  subject.drain(request).catch(() => {})
  return { status: 202, headers: ['Location', '/api/drain'], body: drainBody(subject) }
}

function drainProgress({ subject }: Ask): Reply {
  return { status: 200, body: drainBody(subject) }
}

function drainBody({ drainProgress }: AdminSubject): object {
  if (!drainProgress) return { phase: 'none' }
  const { startedAt, deadline, ...rest } = drainProgress
  return { ...rest, startedAt: time(startedAt), deadline: time(deadline) }
}

function duration(query: URLSearchParams, name: 'timeout' | 'grace'): Record<string, number> {
  const text = query.get(name)
  if (text === null) return {}
  const ms = /^[\d.]{1,12}(?:ms|s|m|h)?$/.test(text) ? asDuration(text) : Number.NaN
  if (!(ms >= 0 && ms <= MAX_DURATION)) throw badParameter(name, 'a duration like 250ms, 30s, 5m')
  return { [name]: ms }
}

function asDuration(text: string): number {
  try {
    return parseDuration(text)
  } catch {
    return Number.NaN
  }
}

/** What is spelled wrong shall not be taken for what was not said. */
function only(query: URLSearchParams, names: readonly string[]): void {
  for (const name of query.keys())
    if (!names.includes(name)) throw badParameter('The query', `only ${names.map(n => `'${n}'`).join(', ')}`)
}

function time(epoch: number): string {
  return new Date(epoch).toISOString()
}
