import { inTime } from '../../in-time.ts'
import type { SharedState } from '../shared.ts'
import { SessionStoreClosedError, SessionStoreUnavailableError } from '../store.ts'
import { type RedisClient, tamed } from './client.ts'
import { Gate } from './gate.ts'
import { Health } from './health.ts'
import { probeKey, SHARDS } from './keys.ts'
import { type Hearer, Listener } from './listener.ts'
import type { Script } from './script.ts'
import { Seal } from './seal.ts'

export interface BackendOptions {
  /** Belongs to the backend from now on. */
  readonly client: RedisClient
  /** For people: where it is, without a password. */
  readonly label: string
  /** Before all keys. Default `catflap:`. */
  readonly prefix?: string
  readonly seal?: Seal
  /** Milliseconds for one operation, whatever Redis does. Default 3 seconds. */
  readonly timeout?: number
}

/** At most so many operations wait for Redis at once. */
const MAX_WAITING = 10_000

/** One Redis for all of a process that uses it: one connection that asks (to each node), one that listens, and what is known of how it is doing. */
export class RedisBackend {
  readonly label: string
  readonly prefix: string
  readonly seal: Seal
  readonly timeout: number
  readonly #client: RedisClient
  readonly #gate: Gate
  readonly #listener: Listener
  readonly #health: Health
  #waiting = 0
  #closed = false

  constructor({ client, label, prefix = 'catflap:', seal = new Seal(), timeout = 3_000 }: BackendOptions) {
    this.#client = client
    this.#gate = new Gate(client, timeout)
    this.label = label
    this.prefix = prefix
    this.seal = seal
    this.timeout = timeout
    this.#listener = new Listener(() => listening(client))
    this.#health = new Health(
      () => this.#probe(),
      () => this.#listener.check()
    )
    // Who asks is told; nobody else needs to hear of it.
    client.on('error', () => {})
    client.on('ready', () => this.#health.connected())
  }

  get state(): SharedState {
    return this.#health.state
  }

  /** Is called when it stops doing its work, and when it does it again. Returns how to stop that. */
  onState(listener: (state: SharedState) => void): () => void {
    return this.#health.onChange(listener)
  }

  /** Whatever Redis does, this ends. Fails with SessionStoreUnavailableError, SessionStoreClosedError. */
  async do<T>(use: (client: RedisClient) => Promise<T>): Promise<T> {
    if (this.#closed) throw new SessionStoreClosedError()
    if (this.#waiting >= MAX_WAITING)
      throw new SessionStoreUnavailableError(this.label, new Error(`${MAX_WAITING} operations wait for it`))
    this.#waiting++
    try {
      const reply = await this.#inTime(use)
      this.#health.worked()
      return reply
    } catch (error) {
      if (this.#closed) throw new SessionStoreClosedError()
      this.#health.failed(error)
      throw new SessionStoreUnavailableError(this.label, error)
    } finally {
      this.#waiting--
    }
  }

  run<Reply>(script: Script<Reply>, keys: readonly string[], args: readonly string[]): Promise<Reply> {
    return this.do(client => script.run(client, keys, args))
  }

  /** Hears what is told on a channel. Returns how to stop that. */
  listen(channel: string, hearer: Hearer): () => void {
    return this.#closed ? () => {} : this.#listener.listen(channel, hearer)
  }

  async #inTime<T>(use: (client: RedisClient) => Promise<T>): Promise<T> {
    if (this.#gate.isOpen) return await inTime(use(this.#client), this.timeout, () => this.#late())
    const begun = performance.now()
    await this.#gate.wait()
    return await inTime(use(this.#client), this.timeout - (performance.now() - begun), () => this.#late())
  }

  #late(): Error {
    return new Error(`no answer for ${this.timeout} ms`)
  }

  /** It writes: a Redis that is full or may only be read answers everything else. In a cluster, where all sessions are. */
  async #probe(): Promise<void> {
    const shards = Array.from({ length: isCluster(this.#client) ? SHARDS : 1 }, (_, shard) => shard)
    await this.#inTime(client =>
      Promise.all(shards.map(shard => client.set(probeKey(this.prefix, shard), '', 'PX', 1)))
    )
  }

  /** Ends the connections; who still waits is told that it is closed. May be called again. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#health.close()
    this.#listener.close()
    this.#gate.close()
    this.#client.disconnect()
  }
}

type Cluster = Extract<RedisClient, { nodes: unknown }>

function isCluster(client: RedisClient): client is Cluster {
  return 'nodes' in client
}

/** A connection of its own, to any node of a cluster: what is told at one is told at all. */
function listening(client: RedisClient): ReturnType<Exclude<RedisClient, Cluster>['duplicate']> | undefined {
  // After each break its user subscribes, and knows when that is done.
  const options = { autoResubscribe: false, lazyConnect: false }
  if (!isCluster(client)) return tamed(client.duplicate(options))
  const nodes = client.nodes('master')
  const node = nodes[Math.floor(Math.random() * nodes.length)]
  return node && tamed(node.duplicate({ ...options, retryStrategy: null }))
}
