import { setTimeout as pause } from 'node:timers/promises'
import type { ListenerView } from '../admin/subject.ts'
import type { Log } from '../log.ts'
import type { ProcessGauges } from '../metrics/process-gauges.ts'
import { HttpServer } from '../transport/downstream/http-server.ts'
import { isLoopback } from '../transport/loopback.ts'
import { hostForUrl } from './bind.ts'
import type { Exchange } from './exchange.ts'
import { settings } from './options.ts'
import type { ListenerOptions, ReverseOptions } from './reverse-options.ts'
import type { Router } from './router.ts'

const DEFAULT_LISTENER: ListenerOptions = { host: '127.0.0.1', port: 7890 }

/** How often it is seen which streams may end, and whether all has been said, in ms. */
const SWEEP = 50

/** Who has asked nothing over HTTP/2 for so long (ms) hardly does at the very moment that it is sent away. */
const QUIET = 1_000

interface Listening {
  readonly key: string
  /** Host and port as they are asked for. A port that is any free one is known by its place in the list. */
  readonly spot: string
  readonly options: ListenerOptions
  readonly server: HttpServer
  readonly port: number
  readonly origin: string
}

/** What is to listen next. It is carried out, or abandoned. */
export interface ListenerPlan {
  readonly next: readonly (Listening | Omit<Listening, 'origin'>)[]
  readonly certificates: readonly (() => void)[]
  /** How long those that are connected elsewhere may stay, in ms. */
  readonly drainTimeout: number
}

export interface ListenersOptions {
  readonly router: Router
  readonly log: Log
  readonly gauges: ProcessGauges | undefined
  /** Ends those of these streams that nobody needs. */
  readonly endStreams: (of: (x: Exchange) => boolean) => void
}

/** All that clients connect to. */
export class Listeners {
  readonly #options: ListenersOptions
  #listening: readonly Listening[] = []
  /** No longer wanted; what they have begun is being finished. */
  readonly #leaving = new Map<HttpServer, { readonly left: Promise<void>; readonly hurry: AbortController }>()
  #stopped = false

  constructor(options: ListenersOptions) {
    this.#options = options
  }

  /** The host that admits the most: where one listener can be reached from elsewhere, hosts are checked as they are there. */
  static widest(hosts: readonly string[]): string {
    return hosts.find(host => !isLoopback(host)) ?? hosts[0] ?? '127.0.0.1'
  }

  get origins(): readonly string[] {
    return this.#listening.map(({ origin }) => origin)
  }

  get views(): readonly ListenerView[] {
    return this.#listening.map(({ origin, options, server }) => ({
      url: origin,
      protocols: (options.http2 ?? true) ? ['http/1.1', 'h2'] : ['http/1.1'],
      connections: server.connections
    }))
  }

  get connections(): number {
    return this.#servers.reduce((n, server) => n + server.connections, 0)
  }

  /**
   * What has to be done to listen where these options say, and nowhere else. Who connects where nobody listened before is kept
   * waiting until `admit`. Rejects with what is wrong, as far as that shows.
   */
  async plan(options: ReverseOptions): Promise<ListenerPlan> {
    const { listeners = [DEFAULT_LISTENER], drainTimeout = settings().drainTimeout } = options
    const certificates: (() => void)[] = []
    const next: ListenerPlan['next'][number][] = []
    const plan = { next, certificates, drainTimeout }
    try {
      for (const [i, one] of listeners.entries()) {
        const key = keyOf(one, i)
        const there = this.#listening.find(other => other.key === key)
        if (there) {
          const { tls } = one
          if (tls && JSON.stringify(there.options.tls) !== JSON.stringify(tls))
            certificates.push(there.server.preparedTls(tls))
          next.push({ ...there, options: one })
        } else next.push(await this.#made(one, key, spotOf(one, i)))
      }
      for (const one of next)
        if (isNew(one) && !this.#listening.some(({ port }) => port === one.port)) await one.server.listen()
      return plan
    } catch (error) {
      await this.abandon(plan)
      throw error
    }
  }

  /** The plan comes to nothing. */
  async abandon({ next }: ListenerPlan): Promise<void> {
    await Promise.all(next.filter(isNew).map(({ server }) => this.#close(server)))
  }

  /** Does what was planned. Rejects with the system's error; then nothing has changed. */
  async change(plan: ListenerPlan): Promise<void> {
    const { next, certificates, drainTimeout } = plan
    const keys = new Set(next.map(({ key }) => key))
    const gone = this.#listening.filter(({ key }) => !keys.has(key))
    const fresh = next.filter(isNew)
    const before = ({ spot }: { readonly spot: string }) => gone.find(one => one.spot === spot)
    const heirs = new Set(fresh.map(({ spot }) => spot))
    // Who listens at a port that another is to have, at another address, makes room first.
    const paused = gone.filter(({ port, spot }) => !heirs.has(spot) && fresh.some(one => one.port === port))
    for (const { server } of paused) server.pause()
    try {
      for (const one of fresh) if (!before(one) && !one.server.address) await one.server.listen()
      if (this.#stopped) throw new TypeError('it is being drained: start it anew with these options')
    } catch (error) {
      await this.abandon(plan)
      if (!this.#stopped) for (const { server, port } of paused) await server.listen(port)
      throw error
    }
    for (const swap of certificates) swap()
    this.#listening = next.map(one => (isNew(one) ? this.#begin(one, before(one)?.server) : one))
    for (const one of gone) this.#leave(one, drainTimeout)
  }

  /** What listens is served from now on, those who have been waiting among it. */
  admit(): void {
    for (const { server } of this.#listening) server.admit()
  }

  /** And does not listen anew, either. */
  stopAccepting(): void {
    this.#stopped = true
    for (const server of this.#servers) server.stopAccepting()
  }

  async flushed(ms: number): Promise<void> {
    await Promise.all(this.#servers.map(server => server.flushed(ms)))
  }

  async close(): Promise<void> {
    for (const { hurry } of this.#leaving.values()) hurry.abort()
    const left = [...this.#leaving.values()].map(one => one.left)
    await Promise.all([...this.#listening.map(({ server }) => this.#close(server)), ...left])
  }

  get #servers(): readonly HttpServer[] {
    return [...this.#listening.map(({ server }) => server), ...this.#leaving.keys()]
  }

  async #made(options: ListenerOptions, key: string, spot: string): Promise<Omit<Listening, 'origin'>> {
    const { host = '127.0.0.1', tls, http2 = true } = options
    const port = options.port || (this.#listening.find(there => there.spot === spot)?.port ?? 0)
    const { router } = this.#options
    const own = { ...settings(options.settings), host, port, tls, http2 }
    const server = new HttpServer({ ...own, held: true }, router.handle, router)
    await server.prepare()
    return { key, spot, options, server, port }
  }

  #begin(one: Omit<Listening, 'origin'>, before: HttpServer | undefined): Listening {
    const { server, options } = one
    const { address, port } = before ? server.takeOver(before) : server.address!
    this.#options.gauges?.listener(server)
    const scheme = options.tls ? 'https' : 'http'
    return { ...one, port, origin: `${scheme}://${hostForUrl(options.host ?? '127.0.0.1', address)}:${port}` }
  }

  async #close(server: HttpServer): Promise<void> {
    this.#options.gauges?.listenerGone(server)
    await server.close()
  }

  /** Nobody connects there any more; whoever is connected has as long as a drain takes. */
  #leave({ server, origin }: Listening, drainTimeout: number): void {
    server.leave()
    if (!this.origins.includes(origin)) this.#options.log.info('listener-closed', `no longer listening on ${origin}`)
    const hurry = new AbortController()
    const left = this.#finished(server, drainTimeout, hurry.signal)
      .then(() => this.#close(server))
      .finally(() => this.#leaving.delete(server))
    this.#leaving.set(server, { left, hurry })
  }

  /**
   * Until all have left, at most `ms`. Nobody can be cut for being idle: its next request may be on its way. Half of the time is
   * for what was asked by clients of HTTP/2 that never stop asking.
   */
  async #finished(server: HttpServer, ms: number, hurry: AbortSignal): Promise<void> {
    const begun = performance.now()
    for (let age = 0; age < ms && server.connections > 0 && !hurry.aborted; age = performance.now() - begun) {
      server.sendAway(age >= ms / 2 ? 0 : QUIET)
      const open = new Set<unknown>(server.open)
      if (open.size > 0) this.#options.endStreams(x => open.has(x.reply))
      await pause(Math.min(SWEEP, ms - age), undefined, { signal: hurry }).catch(() => {})
    }
  }
}

function isNew(one: ListenerPlan['next'][number]): one is Omit<Listening, 'origin'> {
  return !('origin' in one)
}

function spotOf({ host = '127.0.0.1', port = 0 }: ListenerOptions, index: number): string {
  return JSON.stringify([host, port === 0 ? `any ${index}` : port])
}

/**
 * What makes two listeners the same. Other certificates of ours are for new connections; who has to show one is another rule,
 * which those that are connected have not met.
 */
function keyOf(options: ListenerOptions, index: number): string {
  const { http2 = true, tls, settings: own } = options
  return JSON.stringify([spotOf(options, index), http2, tls !== undefined, tls?.clientCa, own ?? {}])
}
