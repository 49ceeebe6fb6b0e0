import type { Log } from '../log.ts'
import { HttpServer, type RequestHandler } from '../transport/downstream/http-server.ts'
import { isLoopback } from '../transport/loopback.ts'
import { hostForUrl } from './bind.ts'
import { settings } from './options.ts'
import type { ListenerOptions, ReverseOptions } from './reverse-options.ts'

const DEFAULT_LISTENER: ListenerOptions = { host: '127.0.0.1', port: 7890 }

interface Listening {
  readonly key: string
  readonly options: ListenerOptions
  readonly server: HttpServer
  readonly origin: string
}

/** All that clients connect to. */
export class Listeners {
  readonly #handler: RequestHandler
  readonly #log: Log
  #listening: readonly Listening[] = []
  /** No longer wanted; what they have begun is being finished. */
  readonly #leaving = new Set<Promise<void>>()

  constructor(handler: RequestHandler, log: Log) {
    this.#handler = handler
    this.#log = log
  }

  /** The host that admits the most: where one listener can be reached from elsewhere, hosts are checked as they are there. */
  static widest(hosts: readonly string[]): string {
    return hosts.find(host => !isLoopback(host)) ?? hosts[0] ?? '127.0.0.1'
  }

  get origins(): readonly string[] {
    return this.#listening.map(({ origin }) => origin)
  }

  get connections(): number {
    return this.#listening.reduce((n, { server }) => n + server.connections, 0)
  }

  /** Listens where these options say, and nowhere else. Rejects with the system's error; then nothing has changed. */
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
    } catch (error) {
      await Promise.all(opened.map(({ server }) => server.close()))
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
    await Promise.all([...this.#listening.map(({ server }) => server.close()), ...this.#leaving])
  }

  async #open(options: ListenerOptions, key: string): Promise<Listening> {
    const host = options.host ?? '127.0.0.1'
    const server = new HttpServer({ ...settings(options.settings), host, port: options.port ?? 0 }, this.#handler)
    try {
      const address = await server.listen()
      return { key, options, server, origin: `http://${hostForUrl(host, address.address)}:${address.port}` }
    } catch (error) {
      await server.close()
      throw error
    }
  }

  /** Nobody connects there any more; whoever is connected has as long as a drain takes. */
  #leave(server: HttpServer, origin: string, { drainTimeout = settings().drainTimeout }: ReverseOptions): void {
    server.stopAccepting()
    this.#log.info('listener-closed', `no longer listening on ${origin}`)
    const leaving = server
      .flushed(drainTimeout)
      .then(() => server.close())
      .finally(() => this.#leaving.delete(leaving))
    this.#leaving.add(leaving)
  }
}

/** What makes two listeners the same: a port that is any free one is known by its place in the list. */
function keyOf({ host = '127.0.0.1', port = 0, http2, settings: own }: ListenerOptions, index: number): string {
  return JSON.stringify([host, port === 0 ? `any ${index}` : port, http2 ?? true, own ?? {}])
}
