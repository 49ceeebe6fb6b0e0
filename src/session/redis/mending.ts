import { setTimeout as pause } from 'node:timers/promises'
import type { Log } from '../../log.ts'
import {
  type Awaitable,
  type SessionRecord,
  type SessionStore,
  SessionStoreError,
  SessionStoreUnavailableError
} from '../store.ts'
import type { Generations } from './generations.ts'
import type { KnownSession, KnownSessions } from './known-sessions.ts'
import { makeAgain, writeBack } from './write-back.ts'

/** Between two tries, in ms: at first, and at most. */
const FIRST_PAUSE = 250
const MOST_PAUSE = 2_000
/** Who has been well for so long, in ms, begins with the first pause again. */
const STEADY = 10_000
/** Sessions that the store is told of at once. */
const AT_ONCE = 16
/** A store may have put uses together for so long, in ms, and have told nobody of them. */
const LATEST_USE = 20_000

/** Redis answers, and will not write this. What is asked of it otherwise it may well do. */
const REFUSED = /^(OOM|MISCONF|NOREPLICAS)\b/

/** A store that tells of sessions that have ended, whoever ended them. */
export interface TellingStore extends SessionStore {
  /** Is told what it is called in the store. */
  onEnded?(ended: (name: string) => void): void
  /** Ends it for good: whoever thinks that the store has lost it does not make it again. */
  bury?(id: string): Awaitable<SessionRecord | undefined>
}

export interface MendingOptions {
  readonly store: TellingStore
  readonly known: KnownSessions
  readonly generations: Generations
  readonly maxSessions: number
  readonly log: Log
}

/** Finds out when a store that was away is back, and tells it what has happened meanwhile. */
export class Mending {
  /** Nobody is to wait for the store: what is known here is good. */
  out = false
  /** There is something that the store does not know yet. */
  busy = false
  /** Why the store could not be asked. */
  why: SessionStoreUnavailableError | undefined
  /** `performance.now()` when it was away last. */
  awayAt = Number.NEGATIVE_INFINITY
  readonly #options: MendingOptions
  /** Ended here. */
  readonly #ended = new Set<string>()
  /** Of which the store had an older version than was known here. */
  readonly #doubtful = new Set<string>()
  readonly #names: (string | undefined)[]
  readonly #stop = new AbortController()
  /** What the parts are called is known. */
  #named = false
  #mending: Promise<void> | undefined
  #outSince = 0
  #backAt = Number.NEGATIVE_INFINITY
  #pause = FIRST_PAUSE

  constructor(options: MendingOptions) {
    this.#options = options
    this.#names = new Array(options.generations.parts)
    this.#readNames().then(
      names => this.#keep(names),
      () => this.start()
    )
  }

  /** The store has failed. Throws what has nothing to do with whether it is there. */
  failed(error: unknown): void {
    if (!(error instanceof SessionStoreUnavailableError)) throw error
    this.why = error
    if (error.cause instanceof Error && REFUSED.test(error.cause.message)) return
    if (this.out) return
    this.#options.log.debug('store-local', `${error.message}: sessions over HTTP that are known here go on from memory`)
    this.#goOn()
  }

  isEnded(id: string): boolean {
    return this.#ended.has(id)
  }

  /** To be ended in the store when that can be. */
  end(id: string): void {
    const { maxSessions } = this.#options
    if (this.#ended.size >= maxSessions) for (const oldest of this.#ended) if (this.#ended.delete(oldest)) break
    this.#ended.add(id)
    this.start()
  }

  doubt(id: string): void {
    if (this.#doubtful.size >= this.#options.maxSessions) return
    this.#doubtful.add(id)
    this.start()
  }

  /** The store says that there is no such session: is that because it has lost what it held? Then it goes on here until it is made again. */
  async hasLost(id: string): Promise<boolean> {
    const { generations } = this.#options
    const part = generations.partOf(id)
    // What it is called by the time of the answer may be what it was made anew under.
    const before = this.#names[part]
    const name = await generations.read(part)
    this.#names[part] ??= name
    if (name === (before ?? name)) return false
    if (this.out) return true
    this.why = new SessionStoreUnavailableError('the session store', new Error('it has lost what it held'))
    this.#goOn()
    return true
  }

  #goOn(): void {
    this.out = true
    this.#outSince = performance.now()
    this.start()
  }

  /** There is something to tell. */
  start(): void {
    if (this.#stop.signal.aborted) return
    this.busy = true
    if (!this.#mending && performance.now() - this.#backAt > STEADY) this.#pause = FIRST_PAUSE
    this.#mending ??= this.#mend().finally(() => {
      this.#mending = undefined
      // Something may have come up when it had just ended.
      if (!this.#isWell) this.start()
    })
  }

  get #isWell(): boolean {
    const untold = this.#ended.size + this.#doubtful.size + this.#options.known.changed
    return this.#named && !this.out && untold === 0
  }

  async #mend(): Promise<void> {
    const { signal } = this.#stop
    while (!this.#isWell) {
      const stopped = pause(this.#pause * (0.75 + Math.random() / 2), false, { ref: false, signal }).catch(() => true)
      if (await stopped) return
      try {
        await this.#tell()
      } catch (error) {
        if (!(error instanceof SessionStoreUnavailableError)) this.#options.log.error('store-failed', String(error))
        this.#pause = Math.min(MOST_PAUSE, this.#pause * 2)
      }
    }
    this.busy = false
  }

  /** Everything that the store does not know. Fails where it cannot be told all. */
  async #tell(): Promise<void> {
    const { known } = this.#options
    const names = await this.#readNames()
    await each([...this.#ended], id => this.#bury(id))
    const lost = this.#lostParts(names)
    if (lost.size > 0) {
      const gone = known.living().filter(({ record }) => lost.has(this.#options.generations.partOf(record.id)))
      await each(gone, session => this.#settle(session, makeAgain))
      const text = `the session store had lost what it held: ${gone.length} sessions over HTTP were made again`
      this.#options.log.warn('store-lost', text)
    }
    this.#keep(names)
    await each([...this.#doubtful], id => this.#lookAt(id))
    if (known.changed > 0) await this.#writeBack()
    if (!this.out) return
    await this.#touch()
    this.#isBack()
  }

  async #bury(id: string): Promise<void> {
    const { store } = this.#options
    try {
      await (store.bury?.(id) ?? store.delete(id))
    } catch (error) {
      // One that cannot be read must not hold up the others.
      if (error instanceof SessionStoreUnavailableError || !(error instanceof SessionStoreError)) throw error
    }
    this.#ended.delete(id)
  }

  async #lookAt(id: string): Promise<void> {
    const session = this.#options.known.get(id)
    if (session) await this.#settle(session, (store, untold) => writeBack(store, untold, true))
    this.#doubtful.delete(id)
  }

  #writeBack(): Promise<void> {
    const changed = this.#options.known.living().filter(({ base }) => base)
    return each(changed, session => this.#settle(session, writeBack))
  }

  async #settle(session: KnownSession, write: typeof makeAgain): Promise<void> {
    const { store, known } = this.#options
    const { record: mine, base = mine, sent } = session
    let stored: SessionRecord | undefined
    try {
      stored = await write(store, { mine, base, sent })
    } catch (error) {
      // One that cannot be read, or for which there is no room, must not hold up the others.
      if (error instanceof SessionStoreUnavailableError) known.sent(session, mine.facts)
      if (error instanceof SessionStoreUnavailableError || !(error instanceof SessionStoreError)) throw error
    }
    // Ended here while it was written.
    if (this.#ended.has(mine.id)) return
    if (stored) known.settle(session, mine, stored)
    else known.forget(mine.id)
  }

  #isBack(): void {
    this.out = false
    this.awayAt = this.#backAt = performance.now()
    const seconds = ((this.#backAt - this.#outSince) / 1000).toFixed(1)
    this.#options.log.debug('store-told', `the session store knows again what it missed for ${seconds} s`)
  }

  /** What was used meanwhile has not been idle, whatever a reaper is about to think. */
  async #touch(): Promise<void> {
    const { known, store } = this.#options
    const since = this.#outSince - LATEST_USE
    const used = known.living().filter(({ usedAt }) => usedAt > since)
    await each(used, async ({ record }) => void (await store.touch(record.id)))
  }

  #readNames(): Promise<string[]> {
    const { generations } = this.#options
    return Promise.all(Array.from({ length: generations.parts }, (_, part) => generations.read(part)))
  }

  #lostParts(names: readonly string[]): Set<number> {
    const lost = new Set<number>()
    for (const [part, name] of names.entries()) if ((this.#names[part] ?? name) !== name) lost.add(part)
    return lost
  }

  #keep(names: readonly string[]): void {
    this.#named = true
    for (const [part, name] of names.entries()) this.#names[part] = name
  }

  /** Tries once more to tell what is still to be told. */
  async close(): Promise<void> {
    this.#stop.abort()
    await this.#mending
    if (!this.#isWell) await this.#tell().catch(() => {})
    this.out = this.busy = false
    this.#ended.clear()
    this.#doubtful.clear()
  }
}

/** So many at once, until one fails. */
async function each<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const waiting = [...items].reverse()
  const worker = async (): Promise<void> => {
    try {
      for (let item = waiting.pop(); item !== undefined; item = waiting.pop()) await work(item)
    } catch (error) {
      waiting.length = 0
      throw error
    }
  }
  const ended = await Promise.allSettled(Array.from({ length: AT_ONCE }, worker))
  for (const end of ended) if (end.status === 'rejected') throw end.reason
}
