import { randomBytes } from 'node:crypto'
import type { Log } from '../../log.ts'
import type { Instance, Membership } from '../shared.ts'
import { type Awaitable, SessionStoreClosedError, SessionStoreUnavailableError } from '../store.ts'
import type { RedisBackend } from './backend.ts'
import { heldKey, leaseKey, untilKey } from './keys.ts'
import { Lease, type Moment } from './lease.ts'
import { Script } from './script.ts'
import { DEPOSE, LET_GO, RENEW } from './scripts.ts'

export interface MembershipOptions {
  readonly backend: RedisBackend
  /** Milliseconds after which a process that was not heard of is taken for gone. */
  readonly lease: number
  readonly log: Log
}

const SCRIPTS = {
  renew: new Script<0 | 1 | 2>(RENEW),
  depose: new Script<0 | 1>(DEPOSE),
  letGo: new Script<0 | 1>(LET_GO)
}

/** That somebody is gone for good, or until when its lease lasted, is known for so long, in ms: longer than any process is stopped. */
const KNOWN_FOR = String(24 * 3_600_000)
/** Instances that are remembered at once. */
const MAX_KNOWN = 1_000
/** So often it is asked again where the answer came too late to be worth anything. */
const MOST_TRIES = 3

interface Known {
  readonly instance: Instance
  readonly until: number
}

/**
 * The lease of this process in Redis, renewed every third of it, and those of the others. Redis decides in one step between a lease that goes on and
 * one that is ended; that it has run out, each side knows by its own clock, and whoever has it a tenth earlier than Redis.
 */
export class RedisMembership implements Membership {
  readonly #backend: RedisBackend
  readonly #time: number
  readonly #log: Log
  readonly #listeners = new Set<(id: string) => void>()
  readonly #known = new Map<string, Known>()
  readonly #finding = new Map<string, Promise<Instance | undefined>>()
  #lease: Lease
  #address = ''
  #renewing: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined
  #started = false
  #closed = false
  /** `performance.now()` since when this process has had its lease without a gap. From its start there is none. */
  #steadySince = Number.NEGATIVE_INFINITY
  #had = false

  constructor({ backend, lease, log }: MembershipOptions) {
    this.#backend = backend
    this.#time = lease
    this.#log = log
    this.#lease = newLease(lease)
  }

  get id(): string {
    return this.#lease.id
  }

  get holds(): boolean {
    return !this.#closed && this.#lease.holds
  }

  /** The first try to take a lease; where it fails it is tried again and again. Does not fail. */
  async start(): Promise<void> {
    this.#started = true
    await this.#renew().catch(() => {})
  }

  async confirm(): Promise<string> {
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      // One that was sent before this process was stopped may be answered only now.
      await this.#renew()
      if (this.holds) return this.id
    }
    throw new SessionStoreUnavailableError(this.#backend.label, new Error('it answers later than a lease lasts'))
  }

  async announce(address: string | undefined): Promise<void> {
    this.#address = address ?? ''
    if (!this.#started || this.#closed) return
    // One that is under way may tell the former one.
    await this.#renewing?.catch(() => {})
    await this.#renew().catch(() => {})
  }

  find(id: string, fresh = false): Awaitable<Instance | undefined> {
    if (this.#closed) throw new SessionStoreClosedError()
    if (!isId(id)) return undefined
    if (fresh) return this.#find(id)
    const known = this.#known.get(id)
    if (known && performance.now() < known.until) return known.instance
    const finding = this.#finding.get(id) ?? this.#find(id).finally(() => this.#finding.delete(id))
    this.#finding.set(id, finding)
    return finding
  }

  async #find(id: string): Promise<Instance | undefined> {
    const lease = await this.#backend.do(client => client.get(leaseKey(this.#backend.prefix, id)))
    this.#known.delete(id)
    if (lease === null || lease === '-') return undefined
    const address = lease.slice(lease.indexOf(' ') + 1)
    const instance = Object.freeze({ address: address === '' ? undefined : address })
    if (this.#known.size >= MAX_KNOWN) for (const oldest of this.#known.keys()) if (this.#known.delete(oldest)) break
    this.#known.set(id, { instance, until: performance.now() + Math.min(1_000, this.#time / 4) })
    return instance
  }

  async depose(id: string): Promise<boolean> {
    // Nobody was ever called so.
    if (!isId(id)) return true
    // Where Redis was away or has lost what it knew, others are about to take their leases again: they are given the time.
    await this.#renew()
    if (!this.holds) return false
    const isSteady = performance.now() - this.#steadySince >= this.#time
    // Where it is too early for that, Redis notes from when on it is waited for a lease of which it knows nothing.
    const args = [KNOWN_FOR, String(this.#time), isSteady ? '1' : '0']
    const gone = await this.#backend.run(SCRIPTS.depose, this.#keysOf(id), args)
    this.#known.delete(id)
    return gone === 1
  }

  #keysOf(id: string): [lease: string, until: string] {
    return [leaseKey(this.#backend.prefix, id), untilKey(this.#backend.prefix, id)]
  }

  async hold(name: string, ttl: number): Promise<void> {
    const key = heldKey(this.#backend.prefix, name)
    await this.#backend.do(client => client.set(key, this.id, 'PX', ttl))
  }

  async holder(name: string): Promise<string | undefined> {
    const id = await this.#backend.do(client => client.get(heldKey(this.#backend.prefix, name)))
    return id !== null && isId(id) ? id : undefined
  }

  onLost(listener: (id: string) => void): () => void {
    const own = (id: string): void => listener(id)
    this.#listeners.add(own)
    return () => this.#listeners.delete(own)
  }

  /** One at a time, and on time. */
  #renew(): Promise<void> {
    if (this.#closed) return Promise.reject(new SessionStoreClosedError())
    this.#renewing ??= this.#renewOnce().then(
      () => this.#done(this.#time / 3),
      error => {
        this.#done(this.#time / 10)
        throw error
      }
    )
    return this.#renewing
  }

  #done(pause: number): void {
    this.#renewing = undefined
    clearTimeout(this.#timer)
    if (!this.#closed) this.#timer = setTimeout(() => this.#renew().catch(() => {}), pause).unref()
  }

  async #renewOnce(): Promise<void> {
    for (;;) {
      const lease = this.#lease
      const begun = lease.begin()
      const args = [lease.token, `${lease.token} ${this.#address}`, String(this.#time), KNOWN_FOR]
      const had = this.#had && lease.holds
      const answer = await this.#backend.run(SCRIPTS.renew, this.#keysOf(lease.id), args)
      if (answer !== 0) return this.#renewed(lease, begun, had && answer === 1)
      this.#lose()
    }
  }

  #renewed(lease: Lease, begun: Moment, steady: boolean): void {
    if (this.#had && !steady) this.#steadySince = performance.now()
    this.#had = true
    lease.renewed(begun)
  }

  /** Under another name at once: what is owned under the former one must not be used for a moment longer. */
  #lose(): void {
    const former = this.#lease.id
    this.#lease = newLease(this.#time)
    this.#log.warn(
      'instance-lost',
      'this instance was not heard of for longer than its lease, and others have taken over what it alone held: it goes on as a new one'
    )
    for (const listener of this.#listeners)
      try {
        listener(former)
      } catch (error) {
        this.#log.error('internal', `a fault in catflap: ${error instanceof Error ? error.stack : String(error)}`)
      }
  }

  /** Others need not wait until the lease runs out. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    clearTimeout(this.#timer)
    await this.#renewing?.catch(() => {})
    const { id, token } = this.#lease
    if (this.#started) await this.#backend.run(SCRIPTS.letGo, this.#keysOf(id), [token, KNOWN_FOR]).catch(() => {})
    this.#listeners.clear()
    this.#known.clear()
  }
}

function newLease(time: number): Lease {
  // The clocks of the two sides do not run at quite the same speed.
  return new Lease(randomBytes(12).toString('base64url'), randomBytes(18).toString('base64url'), time - time / 10)
}

function isId(text: string): boolean {
  return /^[\w-]{12,64}$/.test(text)
}
