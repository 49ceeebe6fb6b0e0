import { isDeepStrictEqual } from 'node:util'
import { type Log, SILENT } from '../log.ts'
import { Redactor } from '../tape/redact.ts'
import { checkReverse } from './check-reverse.ts'
import { closeAll } from './closing.ts'
import { Listeners } from './listeners.ts'
import { settings } from './options.ts'
import { retire } from './retire.ts'
import type { ReverseOptions, RouteOptions } from './reverse-options.ts'
import { CLOSE_PATIENCE, openRoute } from './route.ts'
import { type RoutePlace, Router } from './router.ts'
import { secretsOf } from './secrets.ts'
import { endpoint } from './serve-http.ts'
import { routeSsePaths } from './serve-sse.ts'

const DEFAULT_VIA = 'catflap'
const FLUSH = 100

/** What a reload did. Names of routes. */
export interface Reloaded {
  readonly added: readonly string[]
  readonly changed: readonly string[]
  readonly removed: readonly string[]
  readonly kept: readonly string[]
}

/** A running reverse proxy: one front for many servers. */
export class Reverse {
  readonly #router: Router
  readonly #listeners: Listeners
  readonly #log: Log
  /** For routes that were replaced and still have sessions. */
  readonly #waits = new Set<() => void>()
  readonly #leaving = new Set<Promise<void>>()
  #options: ReverseOptions
  #reloading: Promise<unknown> = Promise.resolve()
  #closing: Promise<void> | undefined

  constructor(router: Router, listeners: Listeners, options: ReverseOptions) {
    this.#router = router
    this.#listeners = listeners
    this.#options = options
    this.#log = options.log ?? SILENT
  }

  /** Where clients connect, without any path: one URL a listener. */
  get origins(): readonly string[] {
    return this.#listeners.origins
  }

  get routes(): readonly RoutePlace[] {
    return this.#router.places
  }

  /** Of a route at the first listener. Throws a TypeError for a name that no route has. */
  urlOf(name: string): string {
    const place = this.#router.places.find(one => one.name === name)
    if (!place) throw new TypeError(`no route is called '${name}'`)
    return `${this.origins[0]}${place.path}`
  }

  get stats(): { readonly sessions: number; readonly exchanges: number; readonly connections: number } {
    const cores = this.#places().map(({ route }) => route.core)
    const sum = (of: (core: (typeof cores)[number]) => number): number => cores.reduce((n, core) => n + of(core), 0)
    return {
      sessions: sum(core => core.sessions.size),
      exchanges: sum(core => core.inFlight.size),
      connections: this.#listeners.connections
    }
  }

  /**
   * Goes on with other options. New sessions are made by the routes as they are now; sessions that live end where they began;
   * nothing is dropped. Rejects with a TypeError (or the system's error, where it cannot listen), and then nothing has changed.
   */
  reload(options: ReverseOptions): Promise<Reloaded> {
    const next = this.#reloading.then(() => this.#reload({ ...options, log: options.log ?? this.#log }))
    this.#reloading = next.catch(() => {})
    return next
  }

  async #reload(options: ReverseOptions): Promise<Reloaded> {
    if (this.#closing) throw new TypeError('it is being closed')
    checkReverse(options)
    const before = new Map(this.#router.places.map(place => [place.name, place]))
    const same = sharedParts(options, this.#options)
    const keeps = new Set(
      [...before.keys()].filter(name => same && isDeepStrictEqual(this.#options.routes[name], options.routes[name]))
    )
    const places = await openPlaces(options, name => (keeps.has(name) ? before.get(name) : undefined))
    try {
      await this.#listeners.change(options)
    } catch (error) {
      await closePlaces(places.filter(place => before.get(place.name) !== place))
      throw error
    }
    const gone = this.#router.serve(places)
    this.#options = options
    for (const place of gone) this.#retire(place)
    const names = places.map(({ name }) => name)
    return {
      added: names.filter(name => !before.has(name)),
      changed: names.filter(name => before.has(name) && !keeps.has(name)),
      removed: [...before.keys()].filter(name => !names.includes(name)),
      kept: [...keeps]
    }
  }

  /** Closes it once its last session has ended. */
  #retire(place: RoutePlace): void {
    const stop = retire(place.route.core, () => {
      this.#waits.delete(stop)
      this.#router.forget(place)
      const leaving: Promise<void> = closePlaces([place]).finally(() => this.#leaving.delete(leaving))
      this.#leaving.add(leaving)
    })
    this.#waits.add(stop)
  }

  /**
   * Stops: accepts nothing new, lets calls in flight finish for up to `drainTimeout` ms (default: the option's, then the
   * setting's), ends streams, upstream sessions and children, writes the tapes. Afterwards nothing is left open.
   */
  close(options: { readonly drainTimeout?: number } = {}): Promise<void> {
    this.#closing ??= this.#close(options.drainTimeout ?? this.#options.drainTimeout ?? settings().drainTimeout)
    return this.#closing
  }

  async #close(drainTimeout: number): Promise<void> {
    await this.#reloading
    for (const stop of this.#waits) stop()
    const places = this.#places()
    const cores = places.map(({ route }) => route.core)
    const startedAt = performance.now()
    for (const core of cores) core.draining = true
    this.#listeners.stopAccepting()
    await Promise.all(cores.map(core => core.drained(drainTimeout)))
    for (const core of cores) {
      for (const x of [...core.inFlight]) if (!x.longLived) x.abandon('shutdown')
      for (const x of [...core.inFlight]) if (x.longLived) x.finish()
      core.cancelAll('shutdown')
    }
    const flush = Math.max(FLUSH, drainTimeout - (performance.now() - startedAt))
    await closeAll(
      [
        ['the sessions', () => Promise.all(cores.map(core => core.sessions.close()))],
        ['connections', () => this.#listeners.flushed(flush)],
        ['the listeners', () => this.#listeners.close()]
      ],
      CLOSE_PATIENCE + flush,
      this.#log
    )
    await Promise.all([closePlaces(places), ...this.#leaving])
  }

  #places(): RoutePlace[] {
    return [...this.#router.places, ...this.#router.retiring]
  }
}

/**
 * Starts a reverse proxy. Throws a TypeError for options that make no sense, the system's error when it cannot listen, TapeError
 * for a tape.
 */
export async function createReverse(options: ReverseOptions): Promise<Reverse> {
  checkReverse(options)
  const router = new Router()
  const places = await openPlaces(options, () => undefined)
  router.serve(places)
  const listeners = new Listeners(router.handle, options.log ?? SILENT)
  try {
    await listeners.change(options)
  } catch (error) {
    await closePlaces(places)
    throw error
  }
  return new Reverse(router, listeners, options)
}

/** Opens every route, or none. */
async function openPlaces(
  options: ReverseOptions,
  kept: (name: string) => RoutePlace | undefined
): Promise<RoutePlace[]> {
  const places: RoutePlace[] = []
  const opened: RoutePlace[] = []
  try {
    for (const [name, route] of Object.entries(options.routes)) {
      const place = kept(name) ?? (await openPlace(name, route, options))
      if (place !== kept(name)) opened.push(place)
      places.push(place)
    }
    return places
  } catch (error) {
    await closePlaces(opened)
    throw error
  }
}

async function openPlace(name: string, route: RouteOptions, options: ReverseOptions): Promise<RoutePlace> {
  const log = options.log ?? SILENT
  const target = Array.isArray(route.targets) ? route.targets[0]! : route.targets
  const redactor = new Redactor({
    redactHeaders: route.redactHeaders,
    redactJson: route.redactJson,
    secrets: secretsOf({ tokens: route.tokens, target })
  })
  const via = options.via === false ? undefined : (options.via ?? DEFAULT_VIA)
  const hosts = (options.listeners ?? []).map(({ host }) => host ?? '127.0.0.1')
  const opened = await openRoute({
    ...route,
    target,
    settings: settings(route.settings),
    host: Listeners.widest(hosts),
    allowHosts: [...(route.allowHosts ?? []), ...hosts, ...(route.host === undefined ? [] : [route.host])],
    via,
    redactor,
    log
  })
  const path = route.path ?? `/${name}/mcp`
  const sse = routeSsePaths(path)
  const handler = endpoint(opened.core, { path, sse, via })
  return { name, path, sse, host: route.host?.toLowerCase(), route: opened, handler }
}

/** Routes without anybody in them. */
async function closePlaces(places: readonly RoutePlace[]): Promise<void> {
  await Promise.all(
    places.map(async ({ route }) => {
      const { core } = route
      const patience = CLOSE_PATIENCE + 3 * core.settings.killAfter
      await closeAll([['the sessions', () => core.sessions.close()], ...route.closing], patience, core.log)
      await route.endTape()
    })
  )
}

/** What every route is made with besides its own options. */
function sharedParts(a: ReverseOptions, b: ReverseOptions): boolean {
  const of = ({ listeners, trustedProxies, via }: ReverseOptions): unknown => ({
    hosts: (listeners ?? []).map(({ host }) => host),
    trustedProxies,
    via
  })
  return isDeepStrictEqual(of(a), of(b))
}
