import { Audit } from '../admin/audit.ts'
import type { ServedRoute } from '../admin/proxy-view.ts'
import { ProxyView } from '../admin/proxy-view.ts'
import { type Log, SILENT } from '../log.ts'
import type { RoutesMetrics } from '../metrics/routes-metrics.ts'
import { checkReverse } from './check-reverse.ts'
import { checkLasting } from './check-shared.ts'
import { ChildLimits } from './child-limits.ts'
import { closeAll } from './closing.ts'
import type { Cluster } from './cluster.ts'
import type { Core } from './core.ts'
import { Drain, endStreams } from './drain.ts'
import { Forwarding, TrustedProxies } from './forwarded.ts'
import type { DoorRules } from './gate.ts'
import { LentStores } from './lent-stores.ts'
import { Listeners } from './listeners.ts'
import { type Settings, settings } from './options.ts'
import { type Common, closePlace, openPlace, type Place } from './place.ts'
import { endRevoked, retire } from './retire.ts'
import { LISTENER_SETTINGS, type ReverseOptions } from './reverse-options.ts'
import { type Operators, openAccessLog, openOperators } from './reverse-parts.ts'
import { CLOSE_PATIENCE, type Route } from './route.ts'
import { Router } from './router.ts'
import { sameOptions } from './same-options.ts'
import { sharedSecrets } from './secrets.ts'

const DEFAULT_VIA = 'catflap'
/** How long clients may at least take to read what was answered before everything is closed, in ms. */
const FLUSH = 100

/** What a reload did. Names of routes. */
export interface Reloaded {
  readonly added: readonly string[]
  readonly changed: readonly string[]
  readonly removed: readonly string[]
  readonly kept: readonly string[]
}

/** What lives as long as the proxy, whatever the options become. */
interface Lasting {
  readonly log: Log
  readonly audit: Audit
  readonly metrics: RoutesMetrics | undefined
  readonly accessLog: Awaited<ReturnType<typeof openAccessLog>>
  /** Where other processes serve the same sessions. */
  readonly cluster: Cluster | undefined
}

/** A running reverse proxy: one front for many servers. */
export class Reverse {
  readonly #router = new Router()
  readonly #listeners: Listeners
  readonly #lasting: Lasting
  readonly #view: ProxyView
  readonly #rules: DoorRules = { certified: false }
  readonly #stores = new LentStores()
  readonly #children = new ChildLimits()
  /** For routes that were replaced and still have sessions. */
  readonly #waits = new Set<() => void>()
  readonly #leaving = new Set<Promise<void>>()
  #operators: Operators | undefined
  #options: ReverseOptions
  #generation = 0
  #reloading: Promise<unknown> = Promise.resolve()
  #closing: Promise<void> | undefined

  /** Use `createReverse`. */
  constructor(options: ReverseOptions, lasting: Lasting) {
    this.#options = options
    this.#lasting = lasting
    const { log, metrics, cluster } = lasting
    this.#listeners = new Listeners({
      ...{ router: this.#router, log, gauges: metrics?.process },
      endStreams: of => endStreams(this.#cores(), of)
    })
    this.#view = new ProxyView({
      routes: () => this.#served(),
      listeners: () => this.#listeners.views,
      drain: request => this.#drain(request),
      ...(cluster && {
        shared: () => cluster.shared,
        storeFailure: options.sharedStore?.onFailure,
        peersAt: () => cluster.address
      }),
      ...(metrics && { metricsText: () => metrics.text() })
    })
  }

  /** Opens everything. Where that fails, nothing is left open. */
  async open(): Promise<void> {
    const { metrics, audit, accessLog, cluster } = this.#lasting
    try {
      await this.#use(this.#options)
      this.#operators = await openOperators(this.#options, { view: this.#view, metrics, audit })
      this.#view.ready()
    } catch (error) {
      await this.#listeners.close()
      await Promise.all(this.#places().map(closePlace))
      await cluster?.close()
      await metrics?.close()
      await accessLog?.lines.close()
      throw error
    }
  }

  /** Where clients connect, without any path: one URL a listener. */
  get origins(): readonly string[] {
    return this.#listeners.origins
  }

  get routes(): readonly Place[] {
    return this.#router.places
  }

  /** Where operators ask and act, if they do. */
  get adminUrl(): string | undefined {
    return this.#operators?.adminUrl
  }

  /** What they must present: the option's, or one that was made up. */
  get adminToken(): string | undefined {
    return this.#operators?.adminToken
  }

  /** Where metrics are served on an address of their own, if they are. */
  get metricsUrl(): string | undefined {
    return this.#operators?.metricsUrl
  }

  /** Where other instances find a session of a route: a route that was replaced keeps those it has. */
  routeOf(name: string, session: string): Route | undefined {
    return this.#router.holderOf(name, session)?.route
  }

  /** Of a route at the first listener. Throws a TypeError for a name that no route has. */
  urlOf(name: string): string {
    const place = this.#router.places.find(one => one.name === name)
    if (!place) throw new TypeError(`no route is called '${name}'`)
    return `${this.origins[0]}${place.path}`
  }

  get stats(): { readonly sessions: number; readonly exchanges: number; readonly connections: number } {
    const sum = (cores: readonly Core[], of: (core: Core) => number): number =>
      cores.reduce((n, core) => n + of(core), 0)
    return {
      sessions: sum(
        this.#places().map(({ route }) => route.core),
        core => core.sessions.size
      ),
      exchanges: sum(this.#cores(), core => core.inFlight.size),
      connections: this.#listeners.connections
    }
  }

  /** All metrics at this moment, as Prometheus text. Throws where none are kept. */
  exportMetrics(): string {
    const { metrics } = this.#lasting
    if (!metrics) throw new TypeError('there are no metrics: start with createReverse({ metrics: true, … })')
    return [...metrics.text()].join('')
  }

  /**
   * Goes on with other options. New sessions are made by the routes as they are now; sessions that live end where they began;
   * nothing is dropped. Rejects with a TypeError (or the system's error, where it cannot listen), and then nothing has changed.
   * Log, access log, metrics and the admin listener stay as they are.
   */
  reload(options: ReverseOptions): Promise<Reloaded> {
    const next = this.#reloading.then(() => this.#reload(options))
    this.#reloading = next.catch(() => {})
    return next
  }

  async #reload(options: ReverseOptions): Promise<Reloaded> {
    if (this.#closing) throw new TypeError('it is being closed')
    if (this.#view.drainProgress) throw new TypeError('it is being drained: start it anew with these options')
    checkReverse(options)
    checkLasting(this.#options, options)
    const before = this.#options.listeners
    const done = await this.#use(options)
    const { added, removed, changed: replaced } = done
    const listeners = sameOptions(before, options.listeners) ? [] : this.origins
    if (added.length + removed.length + replaced.length + listeners.length > 0)
      this.#lasting.audit.configChanged({ added, removed, replaced, listeners })
    return done
  }

  async #use(options: ReverseOptions): Promise<Reloaded> {
    const before = new Map(this.#router.places.map(place => [place.name, place]))
    const same = before.size > 0 && sameOptions(sharedParts(this.#options), sharedParts(options))
    const keeps = new Set(
      [...before.keys()].filter(name => same && sameOptions(this.#options.routes[name], options.routes[name]))
    )
    const generation = ++this.#generation
    // First what may fail for reasons of others: routes that are opened in vain leave their tapes.
    const plan = await this.#listeners.plan(options)
    const places = await openPlaces(options, generation, this.#common(options), name =>
      keeps.has(name) ? before.get(name) : undefined
    ).catch(async error => {
      await this.#listeners.abandon(plan)
      throw error
    })
    try {
      await this.#listeners.change(plan)
    } catch (error) {
      await Promise.all(places.filter(place => before.get(place.name) !== place).map(closePlace))
      throw error
    }
    const gone = this.#router.serve(places)
    this.#stores.serve()
    this.#children.serve(options.routes)
    this.#rules.certified = everyoneCertified(options)
    this.#options = options
    this.#listeners.admit()
    this.#endRevoked()
    for (const place of places)
      if (before.get(place.name) !== place) await place.route.offer(`${this.origins[0]}${place.path}`)
    for (const place of gone) this.#retire(place)
    const names = places.map(({ name }) => name)
    return {
      added: names.filter(name => !before.has(name)),
      changed: names.filter(name => before.has(name) && !keeps.has(name)),
      removed: [...before.keys()].filter(name => !names.includes(name)),
      kept: [...keeps]
    }
  }

  #common({ listeners, via, trustedProxies, routes, live, secrets: own = [], ...shared }: ReverseOptions): Common {
    const secrets = [...own, ...sharedSecrets(shared)]
    const hosts = (listeners ?? []).map(({ host }) => host ?? '127.0.0.1')
    const name = via === false ? undefined : (via ?? DEFAULT_VIA)
    const { log, audit, metrics, accessLog, cluster } = this.#lasting
    return {
      ...{ log, audit, metrics, accessLog, cluster, hosts, live, secrets },
      host: Listeners.widest(hosts),
      rules: this.#rules,
      stores: this.#stores,
      children: this.#children,
      via: name,
      forwarding: new Forwarding({ trusted: new TrustedProxies(trustedProxies), name }),
      among: Object.keys(routes).length
    }
  }

  /** Of whatever generation: who may not come in where they are served now may not go on, either. */
  #endRevoked(): void {
    for (const place of this.#router.retiring) {
      const now = this.#router.successor(place)
      // Nothing is served there: what had begun goes on, as long as it was not taken back before.
      if (!now) continue
      place.gate.narrow(now.principals)
      endRevoked(place)
    }
  }

  /** Closes it once its last session has ended. */
  #retire(place: Place): void {
    const stop = retire(place, () => {
      this.#waits.delete(stop)
      this.#router.forget(place)
      const leaving: Promise<void> = closePlace(place).finally(() => this.#leaving.delete(leaving))
      this.#leaving.add(leaving)
    })
    this.#waits.add(stop)
  }

  /**
   * Stops: accepts nothing new, lets calls in flight finish for up to `drainTimeout` ms (default: the option's, then the
   * setting's), ends streams, upstream sessions and children, writes the tapes. Afterwards nothing is left open.
   */
  close(options: { readonly drainTimeout?: number } = {}): Promise<void> {
    const { drainTimeout } = options
    this.#closing ??= this.#close(drainTimeout ?? this.#drainTimeout, drainTimeout !== undefined)
    return this.#closing
  }

  get #drainTimeout(): number {
    return this.#options.drainTimeout ?? settings().drainTimeout
  }

  async #close(timeout: number, hurried: boolean): Promise<void> {
    const { log, metrics, accessLog, cluster } = this.#lasting
    await this.#reloading
    for (const stop of this.#waits) stop()
    const draining = this.#view.drainProgress !== undefined
    const drain = this.#view.startDrain({ timeout })
    // Whoever says how long it may take has no patience for more; nor has who asks a second time.
    if (hurried || draining) drain.hurry(timeout)
    await drain.run()
    const places = this.#places()
    await Promise.all(places.map(({ pages }) => pages?.passthrough.drained(drain.timeLeft)))
    const flush = Math.max(FLUSH, drain.timeLeft)
    await closeAll(
      [
        ['the sessions', () => Promise.all(places.map(({ route }) => route.core.sessions.close()))],
        ['connections', () => this.#listeners.flushed(flush)],
        ['the listeners', () => this.#listeners.close()],
        ['what other instances read', () => cluster?.flushed(flush)],
        ['the listener of other instances', () => cluster?.closeListener()]
      ],
      CLOSE_PATIENCE + flush,
      log
    )
    await Promise.all([...places.map(closePlace), ...this.#leaving])
    await closeAll(
      [
        ['the shared store', () => cluster?.close()],
        ['the admin listener', () => this.#operators?.close()],
        ['metrics', () => metrics?.close()],
        ['the access log', () => accessLog?.lines.close()]
      ],
      CLOSE_PATIENCE,
      log
    )
  }

  #drain({
    timeout = this.#drainTimeout,
    grace = this.#options.drainGrace
  }: {
    readonly timeout?: number
    readonly grace?: number
  }): Drain {
    const { log, audit } = this.#lasting
    return new Drain({
      cores: () => this.#cores(),
      listeners: [this.#listeners],
      others: () => this.#places().flatMap(({ pages }) => pages ?? []),
      ...{ timeout, grace, log },
      onBegin: progress => audit.drainBegan(progress),
      onEnd: progress => audit.drainEnded(progress)
    })
  }

  #places(): Place[] {
    return [...this.#router.places, ...this.#router.retiring]
  }

  #cores(): Core[] {
    return this.#places().flatMap(({ route }) => route.cores)
  }

  *#served(): Generator<ServedRoute> {
    for (const place of this.#places()) {
      const { name, path, host, generation, route } = place
      const retiring = this.#router.retiring.has(place)
      yield { core: route.core, facts: { name, path, host, generation, retiring, recorder: route.recorder } }
    }
  }
}

/**
 * Starts a reverse proxy. Throws a TypeError for options that make no sense, the system's error when it cannot listen, TapeError
 * for a tape.
 */
export async function createReverse(options: ReverseOptions): Promise<Reverse> {
  checkReverse(options)
  const log = options.log ?? SILENT
  const wanted = options.metrics !== undefined && options.metrics !== false
  const metrics = wanted || options.admin ? await openMetrics(options) : undefined
  const accessLog = await openAccessLog(options.accessLog, log)
  if (accessLog) metrics?.process.accessLog(accessLog.lines)
  let proxy: Reverse | undefined
  const route = (name: string, session: string): Route | undefined => proxy?.routeOf(name, session)
  const cluster = await openCluster(options, log, route).catch(async error => {
    await metrics?.close()
    await accessLog?.lines.close()
    throw error
  })
  if (cluster) metrics?.process.shared(cluster.shared)
  proxy = new Reverse(options, { log, audit: new Audit(log), metrics, accessLog, cluster })
  await proxy.open()
  return proxy
}

/** Whatever one listener takes can be handed over. */
function widest(listeners: ReverseOptions['listeners'] = []): Settings {
  const all = listeners.map(({ settings: own }) => settings(own))
  const most = LISTENER_SETTINGS.map(name => [name, Math.max(settings()[name], ...all.map(own => own[name]))])
  return settings(Object.fromEntries(most))
}

/** Loaded only where sessions are shared with other processes. */
async function openCluster(
  { sharedStore, cluster, listeners }: ReverseOptions,
  log: Log,
  route: (name: string, session: string) => Route | undefined
): Promise<Cluster | undefined> {
  if (!sharedStore) return undefined
  const { Cluster } = await import('./cluster.ts')
  return await Cluster.open({ sharedStore, cluster, settings: widest(listeners), log, route })
}

async function openMetrics({ metrics }: ReverseOptions): Promise<RoutesMetrics> {
  const { RoutesMetrics } = await import('../metrics/routes-metrics.ts')
  return new RoutesMetrics(typeof metrics === 'object' ? { maxNames: metrics.maxNames } : {})
}

/** Opens every route, or none. */
async function openPlaces(
  options: ReverseOptions,
  generation: number,
  common: Common,
  kept: (name: string) => Place | undefined
): Promise<Place[]> {
  const places: Place[] = []
  const opened: Place[] = []
  try {
    for (const [name, route] of Object.entries(options.routes)) {
      const there = kept(name)
      const place = there ?? (await openPlace(name, route, generation, common))
      if (!there) opened.push(place)
      places.push(place)
    }
    return places
  } catch (error) {
    await Promise.all(opened.map(closePlace))
    throw error
  }
}

/** What every route is made with besides its own options. */
function sharedParts({ listeners, trustedProxies, via }: ReverseOptions): unknown {
  return { hosts: (listeners ?? []).map(({ host }) => host), trustedProxies, via }
}

function everyoneCertified({ listeners = [] }: ReverseOptions): boolean {
  return listeners.length > 0 && listeners.every(({ tls }) => tls?.clientCa !== undefined)
}
