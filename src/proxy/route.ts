import { heldState } from '../interceptors/held-state.ts'
import { modernRules } from '../interceptors/modern-rules.ts'
import { sessions as sessionsInterceptor } from '../interceptors/sessions.ts'
import type { Log } from '../log.ts'
import { SessionManager } from '../session/manager.ts'
import { MemorySessionStore } from '../session/memory-store.ts'
import { recordedLeg } from '../session/recorded-leg.ts'
import type { Session, SessionEnd } from '../session/session.ts'
import type { SessionStore } from '../session/store.ts'
import { storeFailed } from '../session/store-failed.ts'
import { FrameBus } from '../tape/bus.ts'
import type { LiveFeed } from '../tape/live.ts'
import type { TapeRecorder } from '../tape/recorder.ts'
import type { Redactor } from '../tape/redact.ts'
import { closeAll, type Step } from './closing.ts'
import type { Cluster } from './cluster.ts'
import { Core, type Meter, type Target } from './core.ts'
import type { RecordOptions } from './forward.ts'
import { type HandOver, mayOutlive } from './handover.ts'
import { type Interceptor, Pipeline } from './interceptor.ts'
import { interceptorList } from './interceptors.ts'
import { openFeed, openRecorder } from './observers.ts'
import type { Settings } from './options.ts'
import type { PeerRoute } from './peer-listener.ts'
import type { SessionLoss } from './reverse-options.ts'
import { type OpenTarget, openTarget, type TargetOptions, type WeightedUrl } from './target.ts'

/** How long one part may take to close, beside what it waits for children to end, in ms. */
export const CLOSE_PATIENCE = 10_000
const REAP_EVERY = 30_000

/** Keeps a route's numbers. */
export interface RouteMeter extends Meter {
  readonly interceptor: Interceptor
  store(store: SessionStore): SessionStore
  sessionEnded(session: Session, why: SessionEnd): void
}

/** Hears what becomes of sessions. */
export interface SessionWatch {
  made(session: Session): void
  ended(session: Session, why: SessionEnd): void
}

export interface RouteSetup extends Pick<OpenTarget, 'health' | 'balance' | 'onHealth' | 'childLimit'> {
  readonly target: TargetOptions | readonly WeightedUrl[]
  readonly settings: Settings
  /** The address listened on. */
  readonly host: string
  readonly tokens?: readonly string[]
  readonly allowHosts?: readonly string[]
  readonly allowOrigins?: readonly string[]
  readonly interceptors?: readonly Interceptor[]
  /** Closed with the route, and when it cannot be opened. */
  readonly store?: SessionStore
  /** Other processes serve the same sessions, in the route of this name. */
  readonly cluster?: { readonly of: Cluster; readonly name: string }
  readonly record?: RecordOptions
  /** Default: as the kind of target has it. */
  readonly sessionLoss?: SessionLoss
  readonly live?: boolean
  /** Our name in Via; undefined: none is added. */
  readonly via: string | undefined
  readonly redactor: Redactor
  readonly metrics?: RouteMeter
  /** Are told how everything ended. */
  readonly observers?: readonly Interceptor[]
  readonly watch?: SessionWatch
  readonly log: Log
}

/**
 * The way from clients to one target: its interceptors, its sessions, who watches it. A forward proxy has one, a reverse proxy
 * many, which share nothing but listeners.
 */
export class Route {
  readonly core: Core
  readonly recorder: TapeRecorder | undefined
  /** What other instances hand over; undefined: there are none. */
  readonly forPeers: PeerRoute | undefined
  readonly #setup: RouteSetup
  #feed: LiveFeed | undefined

  constructor(setup: RouteSetup, core: Core, recorder: TapeRecorder | undefined) {
    this.#setup = setup
    this.core = core
    this.recorder = recorder
    const { handOver } = core
    this.forPeers = handOver && {
      core: peersCore(core, handOver),
      pipes: core,
      before: (id, principal) => handOver.mayAct(core, id, principal)
    }
  }

  /** What its exchanges run on: of clients, and of other instances. */
  get cores(): readonly Core[] {
    return this.forPeers ? [this.core, this.forPeers.core] : [this.core]
  }

  /** From now on `catflap tail` can watch, where that is wanted. `url` is where clients connect. */
  async offer(url: string | undefined): Promise<void> {
    const { log, redactor } = this.#setup
    this.#feed = await openFeed(this.#setup, { log, redactor, bus: this.core.bus }, url)
  }

  /** What has to be closed when clients have been answered, in this order. The tape comes last: see `endTape`. */
  get closing(): readonly Step[] {
    const { core } = this
    return [
      ['the server', () => core.target.close()],
      ['deadlines', async () => core.deadlines.close()],
      ['what was handed over', async () => core.handOver?.close()],
      ['observers', () => core.tap.settled()],
      ['the live view', () => this.#feed?.close()]
    ]
  }

  /** A disk that is slow or gone is the recorder's own matter. */
  async endTape(): Promise<void> {
    await this.recorder?.close()
  }
}

/** Opens a route. What it has opened is closed again where it fails; so is the store that it was given. */
export async function openRoute(setup: RouteSetup): Promise<Route> {
  const { log, redactor, settings } = setup
  const bus = new FrameBus(error =>
    log.error('observer-failed', `an observer of the traffic failed and was dropped: ${error}`)
  )
  let recorder: TapeRecorder | undefined
  let target: Target | undefined
  try {
    recorder = await openRecorder(setup, { log, bus, redactor })
    const { via, health, balance, onHealth, childLimit } = setup
    const parts = { via, health, balance, onHealth, childLimit, log, redactor, scrub: redactor.scrub }
    target = await openTarget(setup.target, settings, parts)
    return new Route(setup, makeCore(setup, bus, target), recorder)
  } catch (error) {
    await closeAll(
      [
        ['the server', () => target?.close()],
        ['the store', async () => setup.store?.close()]
      ],
      CLOSE_PATIENCE,
      log
    )
    await recorder?.close()
    throw error
  }
}

function makeCore(setup: RouteSetup, bus: FrameBus, target: Target): Core {
  const { settings, log, redactor, metrics, cluster } = setup
  const handOver = cluster?.of.handOver(cluster.name)
  const pipeline = new Pipeline(
    interceptorList({
      settings,
      host: setup.host,
      allowHosts: setup.allowHosts ?? [],
      allowOrigins: setup.allowOrigins ?? [],
      tokens: setup.tokens ?? [],
      metrics: metrics?.interceptor,
      observers: setup.observers,
      holds: handOver?.holding(target) !== undefined,
      interceptors: setup.interceptors ?? []
    })
  )
  if (cluster && cluster.of.address === undefined && target.kind !== 'http')
    log.warn(
      'no-hand-over',
      `sessions of ${target.label} can be served by the instance that began them alone: others can only take over what it leaves behind. --cluster-listen and --cluster-key let them hand over`
    )
  const plain =
    setup.store ??
    cluster?.of.store(cluster.name, settings) ??
    new MemorySessionStore({
      maxSessions: settings.maxSessions,
      idleTtl: settings.sessionIdle,
      maxTtl: settings.sessionMax
    })
  const hidesIds = setup.record !== undefined || setup.live === true
  let core: Core | undefined
  const sessions = new SessionManager({
    store: metrics?.store(plain) ?? plain,
    target: target.name,
    log,
    membership: handOver?.membership,
    outlives: session => core !== undefined && mayOutlive(core, session),
    forgetAfter: settings.sessionIdle,
    reapEvery: Math.max(50, Math.min(REAP_EVERY, settings.sessionIdle / 3, settings.sessionMax / 3)),
    openLeg: record => {
      const { upstreamId, member } = recordedLeg(record, target.name) ?? {}
      return upstreamId === undefined ? undefined : target.resume(upstreamId, member)
    },
    onStart: session => {
      if (hidesIds) hideIds(redactor, session)
      log.debug('session-start', `session ${session.handle} began`, { session: session.handle })
      setup.watch?.made(session)
      if (core?.bus.active) core.tap.note(session, 'session-start', 'the session began')
    },
    onRenew: session => {
      if (hidesIds) hideIds(redactor, session)
    },
    onEnd: (session, why) => {
      metrics?.sessionEnded(session, why)
      setup.watch?.ended(session, why)
      log.debug('session-end', `session ${session.handle} ended: ${why}`, { session: session.handle, why })
      if (core?.bus.active) core.tap.note(session, 'session-end', `the session ended: ${why}`)
    },
    onLeave: session => {
      log.debug('session-left', `session ${session.handle} has ended elsewhere, or goes on there`, {
        session: session.handle
      })
    },
    onRenewedElsewhere: session => {
      if (core) endOldStreams(core, session)
    }
  })
  const { sessionLoss } = setup
  core = new Core({ settings, log, bus, target, sessions, pipeline, sessionLoss, meter: metrics, handOver })
  return core
}

/** Who came in was looked at where the client is; what it said was changed there as well. */
function peersCore(core: Core, handOver: HandOver): Core {
  const { settings, log, bus, target, sessions, sessionLoss, meter, deadlines } = core
  const pipeline = new Pipeline([
    sessionsInterceptor(),
    modernRules(),
    ...(handOver.holding(target) ? [heldState()] : [])
  ])
  return new Core({
    settings,
    log,
    bus,
    target,
    sessions,
    sessionLoss,
    meter,
    deadlines,
    handOver,
    pipeline,
    forPeers: true
  })
}

/** Its streams here are of the session that the server has lost. */
function endOldStreams(core: Core, session: Session): void {
  if (session.streams === 0) return
  import('./renew-session.ts')
    .then(({ tellStreams }) => tellStreams(core, session))
    .catch(error => storeFailed(core.log, error))
}

/** Both sides' ids of a session are secrets; whoever repeats one in a text shows the handle instead. */
function hideIds(redactor: Redactor, session: Session): void {
  redactor.sessionId(session.handle, session.id)
  if (session.leg.upstreamId !== undefined) redactor.sessionId(session.handle, session.leg.upstreamId)
}
