import type { ListenerView } from '../admin/subject.ts'
import type { Log } from '../log.ts'
import type { ProcessGauges } from '../metrics/process-gauges.ts'
import { HttpServer } from '../transport/downstream/http-server.ts'
import { isLoopback } from '../transport/loopback.ts'
import { hostForUrl } from './bind.ts'
import { settings } from './options.ts'
import type { ListenerOptions, ReverseOptions } from './reverse-options.ts'
import type { Router } from './router.ts'

const DEFAULT_LISTENER: ListenerOptions = { host: '127.0.0.1', port: 7890 }

interface Listening {
  readonly key: string
  readonly options: ListenerOptions
  readonly server: HttpServer
  readonly origin: string
}

/** All that clients connect to. */
export class Listeners {
  readonly #router: Router
  readonly #log: Log
  readonly #gauges: ProcessGauges | undefined
  #listening: readonly Listening[] = []
  /** No longer wanted; what they have begun is being finished. */
  readonly #leaving = new Set<Promise<void>>()

  constructor(router: Router, log: Log, gauges: ProcessGauges | undefined) {
    this.#router = router
    this.#log = log
    this.#gauges = gauges
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
    return this.#listening.reduce((n, { server }) => n + server.connections, 0)
  }

  /** Listens where these options say, and nowhere else. Rejects with what is wrong; then nothing has changed. */
  async change(options: ReverseOptions): Promise<void> {
    const wanted = options.listeners ?? [DEFAULT_LISTENER]
    const next: Listening[] = []
    const opened: Listening[] = []
    try {
      for (const [i, one] of wanted.entries()) {
        const key = keyOf(one, i)
        const there = this.#listening.find(other => other.key === key)
        if (there) next.push({ ...there, options: one })
        else {
          const listening = await this.#open(one, key)
          opened.push(listening)
          next.push(listening)
        }
      }
      this.#renewCertificates(next)
    } catch (error) {
      await Promise.all(opened.map(({ server }) => this.#close(server)))
      throw error
    }
    const gone = this.#listening.filter(({ key }) => !next.some(other => other.key === key))
    this.#listening = next
    for (const { server, origin } of gone) this.#leave(server, origin, options)
  }

  stopAccepting(): void {
    for (const { server } of this.#listening) server.stopAccepting()
  }

  async flushed(ms: number): Promise<void> {
    await Promise.all(this.#listening.map(({ server }) => server.flushed(ms)))
  }

  async close(): Promise<void> {
    await Promise.all([...this.#listening.map(({ server }) => this.#close(server)), ...this.#leaving])
  }

  async #open(options: ListenerOptions, key: string): Promise<Listening> {
    const { host = '127.0.0.1', port = 0, tls, http2 = true } = options
    const server = new HttpServer(
      { ...settings(options.settings), host, port, tls, http2 },
      this.#router.handle,
      this.#router
    )
    try {
      const address = await server.listen()
      this.#gauges?.listener(server)
      const scheme = tls ? 'https' : 'http'
      return { key, options, server, origin: `${scheme}://${hostForUrl(host, address.address)}:${address.port}` }
    } catch (error) {
      await server.close()
      throw error
    }
  }

  /** Throws for certificates that cannot be used; those that were renewed before are taken back by the next file that is right. */
  #renewCertificates(next: readonly Listening[]): void {
    for (const { key, options, server } of next) {
      const before = this.#listening.find(other => other.key === key)?.options.tls
      if (options.tls && before && JSON.stringify(before) !== JSON.stringify(options.tls)) server.setTls(options.tls)
    }
  }

  async #close(server: HttpServer): Promise<void> {
    this.#gauges?.listenerGone(server)
    await server.close()
  }

  /** Nobody connects there any more; whoever is connected has as long as a drain takes. */
  #leave(server: HttpServer, origin: string, { drainTimeout = settings().drainTimeout }: ReverseOptions): void {
    server.stopAccepting()
    this.#log.info('listener-closed', `no longer listening on ${origin}`)
    const leaving = server
      .flushed(drainTimeout)
      .then(() => this.#close(server))
      .finally(() => this.#leaving.delete(leaving))
    this.#leaving.add(leaving)
  }
}

/** What makes two listeners the same: a port that is any free one is known by its place in the list. */
function keyOf(
  { host = '127.0.0.1', port = 0, http2 = true, tls, settings: own }: ListenerOptions,
  index: number
): string {
  return JSON.stringify([host, port === 0 ? `any ${index}` : port, http2, tls !== undefined, own ?? {}])
}
