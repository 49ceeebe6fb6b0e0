import { FIRST_MODERN_VERSION, LEGACY_VERSIONS } from '../protocol/versions.ts'
import type { Core } from '../proxy/core.ts'
import type { Session } from '../session/session.ts'
import type { TapeRecorder } from '../tape/recorder.ts'
import type { RouteView, SessionCounts, SessionView, TargetView } from './subject.ts'

/** What a core does not know of the route it serves. */
export interface RouteFacts {
  readonly name: string
  readonly path: string
  readonly host?: string
  readonly generation?: number
  readonly retiring?: boolean
  readonly recorder?: TapeRecorder
}

/** A route, as operators see it. Counted when it is asked for, so that nothing else pays for it. */
export function routeView(core: Core, facts: RouteFacts): RouteView {
  const { name, path, host, generation = 1, retiring = false, recorder } = facts
  const upstream = core.target.stats?.()
  return {
    name,
    path,
    ...(host !== undefined && { host }),
    generation,
    retiring,
    targets: targetsOf(core),
    sessions: countsOf(core.sessions.live),
    exchanges: Math.max(0, core.inFlight.size - core.streams),
    streams: core.streams,
    ...(upstream && { upstream }),
    ...(recorder && { tape: recorder.stats })
  }
}

function targetsOf({ target }: Core): readonly TargetView[] {
  const health = target.health?.() ?? []
  if (health.length === 0) return [{ name: target.label, state: 'unknown' }]
  return health.map(({ label, state, reason, inFlight, until }) => ({
    name: label,
    state,
    ...(reason !== undefined && { reason }),
    inFlight,
    ...(until !== undefined && { until })
  }))
}

const KNOWN: ReadonlySet<string> = new Set([...LEGACY_VERSIONS, FIRST_MODERN_VERSION])

function countsOf(live: Iterable<Session>): SessionCounts {
  const versions: Record<string, number> = {}
  const transports = { http: 0, sse: 0, stdio: 0 }
  let total = 0
  for (const session of live) {
    total++
    transports[transportOf(session)]++
    const version = session.record.protocolVersion
    // What servers negotiate is theirs to say: only what we know becomes a name.
    const name = version === undefined ? 'none' : KNOWN.has(version) ? version : 'other'
    versions[name] = (versions[name] ?? 0) + 1
  }
  return { total, versions, transports }
}

function transportOf(session: Session): SessionView['transport'] {
  if (!session.stored) return 'stdio'
  return session.pipe ? 'sse' : 'http'
}

/** The sessions that a route holds. */
export function* sessionViews(core: Core, route: string): Generator<SessionView> {
  for (const session of core.sessions.live) {
    const { handle, createdAt, lastSeenAt, protocolVersion } = session.record
    const member = session.leg.member
    if (session.ended) continue
    yield {
      handle,
      route,
      ...(protocolVersion !== undefined && { protocolVersion }),
      transport: transportOf(session),
      createdAt,
      lastSeenAt,
      inFlight: session.inFlight,
      ...(member !== undefined && { member })
    }
  }
}

/**
 * Ends the sessions that go by this handle: all of them, as two may by chance. What goes on behind that (a DELETE to the
 * server, a child that takes its time to end) is the session manager's, and nobody has to wait for it.
 */
export function endSessions(cores: Iterable<Core>, handle: string): boolean {
  let some = false
  for (const core of cores)
    for (const session of [...core.sessions.live]) {
      if (session.handle !== handle || session.ended) continue
      some = true
      void core.sessions.end(session, 'admin')
      // A stream of its own that the server keeps open would hold on to a session that is no more.
      for (const x of [...core.inFlight]) if (x.session === session && x.longLived) x.finish()
    }
  return some
}
