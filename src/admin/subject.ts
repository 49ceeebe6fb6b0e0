import type { MemberHealth, TargetStats } from '../proxy/core.ts'
import type { DrainProgress } from '../proxy/drain.ts'
import type { RecorderStats } from '../tape/recorder.ts'

/** What operators ask about and act on: a running proxy, as the admin listener knows it. */
export interface AdminSubject {
  readonly version: string
  /** Epoch ms. */
  readonly startedAt: number
  readonly state: AdminState
  listeners(): readonly ListenerView[]
  /** Retiring ones (of a configuration that was replaced) among them. */
  routes(): readonly RouteView[]
  /** Where other processes serve the same sessions. */
  store?(): StoreView | undefined
  /** Those that this process holds, in any order. */
  sessions(): Iterable<SessionView>
  /** False: there is no such session. Resolves once no client can use it any more; its server may hear of it later. */
  endSession(handle: string): Promise<boolean>
  /** Starts to drain; where that goes on already, nothing changes. Resolves when it is over. */
  drain(options: DrainRequest): Promise<void>
  /** Of the drain that goes on or is over; undefined before there was one. */
  readonly drainProgress: DrainProgress | undefined
  /** Prometheus text in parts; absent where no metrics are kept. */
  metricsText?(): Iterable<string>
}

export type AdminState = 'starting' | 'ready' | 'draining'

/** In ms; what is not given is as the configuration has it. */
export interface DrainRequest {
  /** How long calls in flight may take. */
  readonly timeout?: number
  /** From "not ready" until nothing new is accepted. */
  readonly grace?: number
}

/** The store that several processes share, and this one among them. */
export interface StoreView {
  /** Its address, without credentials. */
  readonly name: string
  /** `degraded`: it does not do its work, and what is known here goes on without it. */
  readonly state: 'up' | 'degraded' | 'down'
  readonly reason?: string
  /** Epoch ms of the last change. */
  readonly since: number
  /** The name under which this process owns what it alone can do. */
  readonly instance: string
  /** Surely under this name: its lease has not run out. */
  readonly leased: boolean
  /** `HOST:PORT` where other instances reach it. */
  readonly address?: string
}

export interface ListenerView {
  readonly url: string
  /** `http/1.1`, `h2`. */
  readonly protocols: readonly string[]
  readonly connections: number
}

export interface RouteView {
  readonly name: string
  readonly path: string
  /** The one host it is for, where it is for one. */
  readonly host?: string
  /** Counts the configurations that had this route, from 1. */
  readonly generation: number
  /** It takes no new sessions, and goes when its last one has ended. */
  readonly retiring: boolean
  readonly targets: readonly TargetView[]
  readonly sessions: SessionCounts
  /** Calls that clients wait for. */
  readonly exchanges: number
  /** Streams that are open by design. */
  readonly streams: number
  readonly upstream?: TargetStats
  readonly tape?: RecorderStats
}

export interface TargetView {
  readonly name: string
  /** `unknown`: nobody watches it. */
  readonly state: MemberHealth['state'] | 'unknown'
  readonly reason?: string
  readonly inFlight?: number
  /** Epoch ms at which it is asked again. */
  readonly until?: number
}

export interface SessionCounts {
  readonly total: number
  /** By negotiated revision; `none` before `initialize` is answered, `other` for one that catflap does not know. */
  readonly versions: Readonly<Record<string, number>>
  readonly transports: Readonly<Record<SessionView['transport'], number>>
}

/** Of a session, what may be shown: its handle, never its id, nor who made it. */
export interface SessionView {
  readonly handle: string
  readonly route: string
  readonly protocolVersion?: string
  readonly transport: 'http' | 'sse' | 'stdio'
  /** Epoch ms. */
  readonly createdAt: number
  readonly lastSeenAt: number
  /** Calls and streams. */
  readonly inFlight: number
  /** Which of several servers has it. */
  readonly member?: string
}

/**
 * Whether clients of this route can be served, as far as that is known: a target that nobody watches counts as up, and so does
 * one that would be asked again now, as only a client's call can tell whether it is back.
 */
export function isServable(route: RouteView): boolean {
  const now = Date.now()
  return route.targets.some(
    ({ state, until }) =>
      state === 'up' || state === 'unknown' || (state === 'ejected' && until !== undefined && until <= now)
  )
}

/** One sentence, where they cannot. */
export function whyNot(route: RouteView): string {
  const each = route.targets.map(({ name, state, reason }) => `${name} is ${state}${reason ? ` (${reason})` : ''}`)
  return `no target is up: ${each.join('; ')}`
}
