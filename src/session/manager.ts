import { CatflapError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Leg } from '../transport/upstream.ts'
import { changed, changeRecord, type RecordChange } from './change-record.ts'
import { elsewhere } from './elsewhere.ts'
import { factsOf, withFacts } from './facts.ts'
import { Marks } from './marks.ts'
import { newSession, type SessionStart } from './new-session.ts'
import { reap, sweep } from './reaper.ts'
import { epochOf, ownerOf } from './recorded-leg.ts'
import { Recovery } from './recovery.ts'
import { farewell, Session, type SessionEnd } from './session.ts'
import type { Membership } from './shared.ts'
import {
  type Awaitable,
  type SessionRecord,
  type SessionStore,
  SessionStoreFullError,
  type UpdateResult
} from './store.ts'
import { storeFailed } from './store-failed.ts'
import { Undeleted } from './undeleted.ts'

export interface SessionManagerOptions {
  readonly store: SessionStore
  /** The one target's name, under which its leg stands in the record where the leg has no name of its own. */
  readonly target: string
  /** Makes the leg of a record that this process has not seen yet; undefined where only the maker can hold it (a child). */
  readonly openLeg: (record: SessionRecord) => Leg | undefined
  readonly log: Log
  readonly reapEvery: number
  /** After so many ms without use here, a session that other processes can serve as well is not kept in mind. Default 30 minutes. */
  readonly forgetAfter?: number
  readonly onStart?: (session: Session) => void
  readonly onEnd?: (session: Session, why: SessionEnd) => void
  /** Nothing of it is held here any more. It goes on elsewhere, or has ended there. */
  readonly onLeave?: (session: Session) => void
  /** It goes on with another leg. */
  readonly onRenew?: (session: Session) => void
  /** Another process has seen to that. */
  readonly onRenewedElsewhere?: (session: Session) => void
  /** Who is there, where the store is shared. */
  readonly membership?: Membership
  /** Whether another process can go on with what this one alone holds, once that is gone. */
  readonly outlives?: (session: Session) => boolean
}

/** Who pauses for less may be about to go on, in ms. */
const SURELY_IDLE = 60_000
const FAREWELLS_AT_ONCE = 128
/** Milliseconds for all that is said to servers when catflap stops. */
const FAREWELL_TIME = 5_000
/** Where others tell what they have ended, that is looked for only so often: each so many passes of the reaper. */
const SWEEP_EVERY = 10
const FORGET_AFTER = 30 * 60_000
/** Answers of a store overtake each other by no more, in ms. */
const OUT_OF_ORDER = 3_000

/** Mints ids, keeps the living sessions of this process, and ends them on both sides. */
export class SessionManager {
  /** What processes tell each other of sessions whose server has lost them. */
  readonly marks: Marks
  readonly #options: SessionManagerOptions
  readonly #live = new Map<string, Session>()
  readonly #ending = new Set<Promise<void>>()
  readonly #reaper: NodeJS.Timeout
  #reaping: Promise<void> | undefined
  #farewells = true
  #passes = 0
  /** The store, where other processes use it too. */
  readonly #shared: SessionStore | undefined
  readonly #unwatch: (() => void) | undefined
  readonly #undeleted: Undeleted | undefined
  #closed = false
  /** While all is closed, it is not waited for a second time. */
  #storeAway = false

  constructor(options: SessionManagerOptions) {
    this.#options = options
    this.#shared = options.store.shared === true ? options.store : undefined
    this.#undeleted = this.#shared && new Undeleted(this.#shared)
    this.marks = new Marks(this.#shared, options.log)
    this.#unwatch = options.membership?.onLost(owner => this.#lostAll(owner))
    this.#reaper = setInterval(() => this.reap(), options.reapEvery)
    this.#reaper.unref()
  }

  /** The name under which this process owns what it alone can hold; undefined: no other would ask. */
  get owner(): string | undefined {
    return this.#options.membership?.id
  }

  /** Sessions this process holds something of. */
  get size(): number {
    return this.#live.size
  }

  /** Whether this process holds something of a living session with this id. */
  holds(id: string): boolean {
    return this.#live.get(id)?.ended === false
  }

  get live(): Iterable<Session> {
    return this.#live.values()
  }

  /** Is there room for one more? Asked before the server is bothered with `initialize`. */
  async admit(maxSessions: number): Promise<void> {
    if ((await this.#options.store.count()) >= maxSessions) throw new CatflapError('too_many_sessions')
  }

  /** Fails with too_many_sessions. The leg is the caller's until this has succeeded. At once where the store answers at once. */
  start(start: SessionStart): Awaitable<Session> {
    const { membership } = this.#options
    if (membership && (start.held ?? start.leg.upstreamId === undefined)) return this.#startHeld(start, membership)
    return this.#start(start)
  }

  #start(start: SessionStart, owner?: string): Awaitable<Session> {
    try {
      const record = this.#create(start, owner)
      if (!(record instanceof Promise)) return this.#started(record, start.leg)
      return record.then(
        r => this.#started(r, start.leg),
        error => this.#whenFull(error, start, owner)
      )
    } catch (error) {
      return this.#whenFull(error, start, owner)
    }
  }

  /** What only this process can hold is its own by the lease that it has. */
  async #startHeld(start: SessionStart, membership: Membership): Promise<Session> {
    const owner = membership.holds ? membership.id : await membership.confirm()
    const session = await this.#start(start, owner)
    if (owner === membership.id) return session
    this.#live.delete(session.id)
    session.unfollow?.()
    session.ended = true
    await this.#delete(session)
    throw new CatflapError('store_unavailable')
  }

  #create(start: SessionStart, owner?: string): Awaitable<SessionRecord> {
    return this.#options.store.create(newSession(start, this.#options.target, owner))
  }

  /** The session of a client on a pipe, which ends with that and with nothing else. */
  adopt(start: SessionStart): Session {
    const now = Date.now()
    return this.#started(
      { ...newSession(start, this.#options.target), version: 1, createdAt: now, lastSeenAt: now, facts: {} },
      start.leg,
      false
    )
  }

  /** Expired sessions take up room until their upstream side has ended: they go first. */
  async #whenFull(error: unknown, start: SessionStart, owner?: string): Promise<Session> {
    if (!(error instanceof SessionStoreFullError)) throw error
    await this.reap()
    try {
      return this.#started(await this.#create(start, owner), start.leg)
    } catch (again) {
      throw again instanceof SessionStoreFullError ? new CatflapError('too_many_sessions') : again
    }
  }

  #started(record: SessionRecord, leg: Leg, stored = true): Session {
    const session = this.#hold(new Session(record, leg, stored))
    session.held = ownerOf(record) !== undefined
    this.#options.onStart?.(session)
    return session
  }

  #hold(session: Session): Session {
    this.#live.set(session.id, session)
    if (session.stored) session.unfollow = this.#shared?.follow?.(session.id, ended => this.#told(session, ended))
    return session
  }

  /** Others have changed it, or ended it. What nobody needs here at the moment is read when somebody does. */
  #told(session: Session, ended: boolean): void {
    if (ended) return this.#ended(session.id)
    if (isNeeded(session)) this.refresh(session).catch(error => this.#storeFailed(error))
  }

  /** The session, if it lives and belongs to `principal`: another's session is not even admitted to exist. */
  find(id: string, principal: string): Awaitable<Session | undefined> {
    if (this.#undeleted?.has(id)) return undefined
    const record = this.#options.store.get(id)
    return record instanceof Promise
      ? record.then(r => this.#found(id, r, principal))
      : this.#found(id, record, principal)
  }

  #found(id: string, record: SessionRecord | undefined, principal: string): Awaitable<Session | undefined> {
    if (!record) this.#ended(id)
    if (!record || record.principal !== principal) return undefined
    const live = this.#live.get(record.id)
    if (!live) return this.#known(record)
    if (live.ended) return undefined
    if (record.version === live.record.version) live.record = record
    else this.#learn(live, record)
    if (live.ended) return this.#known(record)
    return live.held && this.#options.membership?.holds === false ? this.#stillHeld(live) : live
  }

  /** One that others have made, or that this process has not seen since it began. */
  #known(record: SessionRecord): Session | undefined {
    const owner = ownerOf(record)
    const { membership } = this.#options
    const leg = owner === undefined ? this.#options.openLeg(record) : membership && elsewhere
    if (!leg) return undefined
    const session = this.#hold(new Session(record, leg))
    if (factsOf(record).renewed !== undefined) {
      session.recovery = new Recovery()
      session.recovery.renewed(renewedAgo(record))
    }
    // What would be ours, and is not here, is nobody's.
    if (owner !== undefined) session.remote = owner === membership?.id ? '' : owner
    return session
  }

  /** This process may have been taken for gone, and another one have what was held here. */
  async #stillHeld(session: Session): Promise<Session | undefined> {
    await this.#options.membership?.confirm()
    return session.ended ? await this.find(session.id, session.record.principal) : session
  }

  /** The store knows no session `id` any more: it has expired, or another process ended it. What is held of it here goes too. */
  #ended(id: string): void {
    const live = this.#live.get(id)
    if (!live?.stored) return
    if (this.#shared) this.#drop(live)
    else void this.end(live, 'expired')
  }

  /** What this process held under that name is lost: others have it, or may have it at any moment. */
  #lostAll(owner: string): void {
    for (const session of [...this.#live.values()])
      if (session.held && ownerOf(session.record) === owner) this.#drop(session)
  }

  /** It goes on elsewhere, or has ended there: the client and the store need not be told anything. */
  #drop(session: Session): void {
    if (session.ended) return
    this.#forget(session)
    // One of a server over HTTP is others' as well.
    if (session.leg.upstreamId !== undefined && !session.pipe) return
    const ending: Promise<void> = session.leg.close().finally(() => this.#ending.delete(ending))
    this.#ending.add(ending)
  }

  #forget(session: Session): void {
    session.ended = true
    this.#live.delete(session.id)
    session.unfollow?.()
    session.channel?.close()
    session.pipe?.sessionEnded()
    this.#options.onLeave?.(session)
  }

  /** Lets go of it: another process may go on with it at once. */
  async release(session: Session): Promise<void> {
    if (session.ended || !session.held) return
    await this.disown(session)
    this.#drop(session)
  }

  /** Writes down that this process does not hold it. */
  async disown(session: Session): Promise<void> {
    await this.change(session, record => {
      if (ownerOf(record) !== this.#options.membership?.id) return undefined
      const legs = Object.entries(record.legs).map(([name, leg]) => [name, { ...leg, owner: '' }])
      return { legs: Object.fromEntries(legs) }
    })
  }

  /** Whether another process can go on with it once this one has let go of it. */
  outlives(session: Session): boolean {
    return session.held && !session.pipe && !session.recovery?.pending && this.#options.outlives?.(session) === true
  }

  /** A store that fails keeps no exchange from going on, or from ending. */
  touch(session: Session): void {
    session.usedAt = performance.now()
    if (!session.stored) return
    try {
      const touched = this.#options.store.touch(session.id)
      if (touched instanceof Promise) touched.catch(error => this.#storeFailed(error))
    } catch (error) {
      this.#storeFailed(error)
    }
  }

  /** Writes down what was negotiated, and with whom (`serverIdentity`). */
  async negotiated(session: Session, protocolVersion: string, server?: string): Promise<void> {
    await this.change(session, record => ({
      protocolVersion,
      facts: server === undefined ? undefined : withFacts(record, { server })
    }))
  }

  /** Changes what is written of a session, whoever else does so meanwhile. False: nothing was. At once where the store is. */
  change(session: Session, change: RecordChange): Awaitable<boolean> {
    if (!session.stored) {
      const wanted = change(session.record)
      if (wanted) session.record = changed(session.record, wanted)
      return wanted !== undefined
    }
    const result = changeRecord(this.#options.store, session.record, change)
    return result instanceof Promise ? result.then(r => this.#changed(session, r)) : this.#changed(session, result)
  }

  #changed(session: Session, result: UpdateResult): boolean {
    const record = result.ok ? result.record : result.current
    if (record) this.#learn(session, record)
    return result.ok
  }

  /** Learns what other processes have written. False: the session has ended. */
  async refresh(session: Session): Promise<boolean> {
    const record = await this.#options.store.get(session.id)
    if (record) this.#learn(session, record)
    else this.#ended(session.id)
    return record !== undefined && !session.ended
  }

  #learn(session: Session, record: SessionRecord): void {
    const before = session.record
    const now = performance.now()
    // Stores may answer out of order, but not for long: then it is one that has lost what it knew.
    if (record.version < before.version && now - session.learnedAt < OUT_OF_ORDER) return
    session.record = record
    session.learnedAt = now
    const owner = ownerOf(record)
    if (owner !== undefined) return this.#learnOwner(session, owner)
    if (isSameLeg(record, before)) return
    const leg = this.#options.openLeg(record)
    if (!leg) return
    this.renewed(session, leg)
    this.#options.onRenewedElsewhere?.(session)
  }

  #learnOwner(session: Session, owner: string): void {
    const ours = owner === this.#options.membership?.id
    // Written by this process, which never learned that it was: it does not hold it.
    if (ours && !session.held && session.remote !== undefined) session.remote = ''
    if (ours) return
    if (session.held) this.#drop(session)
    else if (session.remote !== undefined) session.remote = owner
  }

  /** The session goes on with this leg. */
  renewed(session: Session, leg: Leg): void {
    session.leg = leg
    session.remote = undefined
    session.held = ownerOf(session.record) !== undefined
    session.recovery ??= new Recovery()
    session.recovery.renewed(renewedAgo(session.record))
    this.#options.onRenew?.(session)
  }

  /** Its client ends it. Resolves when nobody knows it any more; its upstream side may still take its time. */
  async terminate(session: Session): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    void this.end(session, 'client', resolve)
    await promise
  }

  /** Ends a session: first it is unknown to clients (`unknown` is called), then its upstream side goes. */
  async end(session: Session, why: SessionEnd, unknown?: () => void): Promise<void> {
    if (session.ended) return unknown?.()
    session.ended = true
    const ending = this.#end(session, why, unknown)
    this.#ending.add(ending)
    try {
      await ending
    } finally {
      this.#ending.delete(ending)
    }
  }

  async #end(session: Session, why: SessionEnd, unknown?: () => void): Promise<void> {
    session.unfollow?.()
    const ours = await this.#delete(session)
    unknown?.()
    this.#live.delete(session.id)
    session.channel?.close()
    session.pipe?.sessionEnded()
    this.#options.onEnd?.(session, why)
    // After `client` the server has been told, after `lost` it is the server that told us; a child has to go in any case.
    const told = why === 'client' || why === 'lost' || !this.#farewells || !ours
    // A client on a pipe has no way to tell the server: its leg does that, and has streams of its own to close.
    if (session.leg.upstreamId === undefined || session.pipe || !told) await session.leg.close(farewell(session))
  }

  /** False: another process has deleted it, and with that taken over to tell the server. */
  async #delete(session: Session): Promise<boolean> {
    if (!session.stored || this.#storeAway) return true
    try {
      return (await this.#options.store.delete(session.id)) !== undefined
    } catch (error) {
      this.#storeFailed(error)
      if (this.#closed) this.#storeAway = this.#shared !== undefined
      else this.#undeleted?.add(session.id)
      return true
    }
  }

  /**
   * Ends the session that has been idle for longest, so that others have its child. False: all are in use, or were a moment ago.
   * Asked only where there is no room, so looking at all of them does no harm.
   */
  giveUpIdle(): boolean {
    let longest: Session | undefined
    for (const session of this.#live.values()) {
      if (session.ended || session.inFlight > 0) continue
      // A client on a pipe is there as long as its pipe; and whose child is gone makes no room.
      if (!session.stored || session.pipe || session.recovery?.lost || session.remote !== undefined) continue
      if (session.usedAt < (longest?.usedAt ?? Number.POSITIVE_INFINITY)) longest = session
    }
    if (!longest || performance.now() - longest.usedAt < SURELY_IDLE) return false
    this.#options.log.info('session-given-up', `session ${longest.handle} ends: others need its child, and it was idle`)
    void this.end(longest, 'expired')
    return true
  }

  /** Ends what has expired. A session with something open is in use and goes on, up to its absolute age. */
  reap(): Promise<void> {
    this.#reaping ??= this.#reap().finally(() => {
      this.#reaping = undefined
    })
    return this.#reaping
  }

  async #reap(): Promise<void> {
    try {
      const { store } = this.#options
      await reap(store, this.#live, {
        touch: session => this.touch(session),
        end: session => this.end(session, 'expired'),
        endUnheld: record => this.#endUnheld(record)
      })
      if (this.#shared?.follow) return await this.#tidy(store)
      await sweep(store, this.#live.values(), async session => this.#ended(session.id))
    } catch (error) {
      this.#storeFailed(error)
    }
  }

  /** Others tell what they have ended, so that hardly anything has to be asked for. */
  async #tidy(store: SessionStore): Promise<void> {
    const unused = performance.now() - (this.#options.forgetAfter ?? FORGET_AFTER)
    for (const session of this.#live.values())
      if (session.stored && !isNeeded(session) && session.usedAt < unused) this.#forget(session)
    if (++this.#passes % SWEEP_EVERY !== 0) return
    const needed = [...this.#live.values()].filter(isNeeded)
    await sweep(store, needed, async session => this.#ended(session.id))
  }

  async #endUnheld(record: SessionRecord): Promise<void> {
    const leg = this.#options.openLeg(record)
    const gone = await this.#options.store.delete(record.id)
    if (!gone || !leg) return
    const session = new Session(gone, leg)
    session.ended = true
    this.#options.onEnd?.(session, 'expired')
    await leg.close(farewell(session))
  }

  /** Ends every session that this process holds and no other can go on with. */
  async close(): Promise<void> {
    clearInterval(this.#reaper)
    this.#undeleted?.close()
    this.#closed = true
    await this.#reaping
    this.#unwatch?.()
    const sessions = [...this.#live.values()]
    const worker = async (): Promise<void> => {
      for (let session = sessions.pop(); session; session = sessions.pop()) await this.#leave(session)
    }
    // Ten thousand sessions of a server that hangs must neither open as many connections nor keep us for hours.
    const impatience = setTimeout(() => {
      this.#farewells = false
    }, FAREWELL_TIME)
    await Promise.all(Array.from({ length: FAREWELLS_AT_ONCE }, worker))
    clearTimeout(impatience)
    await Promise.allSettled(this.#ending)
    try {
      await this.#options.store.close()
    } catch (error) {
      this.#storeFailed(error)
    }
  }

  async #leave(session: Session): Promise<void> {
    if (!session.stored || !this.#shared) return await this.end(session, 'shutdown')
    if (!session.held) return this.#forget(session)
    if (!this.outlives(session)) return await this.end(session, 'shutdown')
    try {
      if (!this.#storeAway) await this.release(session)
    } catch (error) {
      this.#storeFailed(error)
      this.#storeAway = true
    }
    this.#drop(session)
  }

  #storeFailed(error: unknown): void {
    storeFailed(this.#options.log, error)
  }
}

/** Something of it is here that is no other process's. */
function isNeeded({ held, inFlight, streams }: Session): boolean {
  return held || inFlight > 0 || streams > 0
}

/** What one process has written of the server's session may have been lost, and another one have written something else. */
function isSameLeg(a: SessionRecord, b: SessionRecord): boolean {
  if (epochOf(a) !== epochOf(b)) return false
  const [nameOfA, nameOfB] = [Object.keys(a.legs)[0]!, Object.keys(b.legs)[0]!]
  return nameOfA === nameOfB && a.legs[nameOfA]?.upstreamId === b.legs[nameOfB]?.upstreamId
}

/** How long ago the present leg took the place of a lost one, by the clocks of those who did that and who asks; in ms. */
function renewedAgo(record: SessionRecord): number {
  return Date.now() - (factsOf(record).renewed ?? Date.now())
}
