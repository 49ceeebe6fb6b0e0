import {
  type Awaitable,
  type NewSession,
  type SessionChange,
  type SessionPage,
  type SessionRecord,
  type SessionStore,
  SessionStoreError,
  type UpdateResult
} from '../session/store.ts'
import { type Counter, counters, type Histogram, histograms, type Room, type Series } from './cells.ts'

type Operation = Exclude<keyof SessionStore, 'close' | 'shared' | 'follow'>

/** As the errors of stores are called in `session/store.ts`. */
const CODES: ReadonlySet<string> = new Set([
  'session_store_full',
  'session_exists',
  'session_cursor_invalid',
  'session_store_closed',
  'session_store_unavailable',
  'session_store_sealed',
  'session_store_unreadable'
])

/** What stores were asked, and how long they took: of one store, or of several in a row that serve one route. */
export class StoreNumbers {
  readonly operations: Series<Counter>
  readonly durations: Series<Histogram>
  readonly #counts = new Map<string, Counter>()
  readonly #times = new Map<string, Histogram>()

  constructor(room?: Room) {
    this.operations = counters('catflap.store.operations', room)
    this.durations = histograms('catflap.store.operation.duration', room)
  }

  count(operation: Operation, error: unknown): void {
    const key = keyOf(operation, error)
    let cell = this.#counts.get(key)
    if (!cell) this.#counts.set(key, (cell = this.operations.add(attributesOf(operation, error))))
    cell.value++
  }

  time(operation: Operation, seconds: number, error: unknown): void {
    const key = keyOf(operation, error)
    let cell = this.#times.get(key)
    if (!cell) this.#times.set(key, (cell = this.durations.add(attributesOf(operation, error))))
    cell.record(seconds)
  }
}

/** A store whose operations are counted, and timed where they take time. */
export class MeteredStore implements SessionStore {
  readonly shared?: boolean
  readonly follow?: SessionStore['follow']
  readonly mark?: SessionStore['mark']
  readonly marked?: SessionStore['marked']
  readonly #store: SessionStore
  readonly #numbers: StoreNumbers
  /** It answers with promises. */
  #slow = false

  constructor(store: SessionStore, numbers: StoreNumbers) {
    this.#store = store
    this.#numbers = numbers
    // What a store does not have, it does not have when it is counted either: callers look.
    this.shared = store.shared === true
    this.follow = store.follow?.bind(store)
    if (store.mark) this.mark = async (id, mark) => this.#run('mark', () => store.mark!(id, mark))
    if (store.marked) this.marked = async (id, mark) => this.#run('marked', () => store.marked!(id, mark))
  }

  create(session: NewSession): Awaitable<SessionRecord> {
    return this.#run('create', () => this.#store.create(session))
  }

  get(id: string): Awaitable<SessionRecord | undefined> {
    const startedAt = this.#clock()
    try {
      return this.#told('get', this.#store.get(id), startedAt)
    } catch (error) {
      throw this.#failed('get', error)
    }
  }

  update(id: string, expectedVersion: number, change: SessionChange): Awaitable<UpdateResult> {
    return this.#run('update', () => this.#store.update(id, expectedVersion, change))
  }

  touch(id: string): Awaitable<boolean> {
    const startedAt = this.#clock()
    try {
      return this.#told('touch', this.#store.touch(id), startedAt)
    } catch (error) {
      throw this.#failed('touch', error)
    }
  }

  delete(id: string): Awaitable<SessionRecord | undefined> {
    return this.#run('delete', () => this.#store.delete(id))
  }

  list(options: { readonly cursor?: string; readonly limit: number }): Awaitable<SessionPage> {
    return this.#run('list', () => this.#store.list(options))
  }

  count(): Awaitable<number> {
    return this.#run('count', () => this.#store.count())
  }

  expired(limit: number): Awaitable<readonly SessionRecord[]> {
    return this.#run('expired', () => this.#store.expired(limit))
  }

  close(): Awaitable<void> {
    return this.#store.close()
  }

  /** For all but what every request asks, which is spared the closure. */
  #run<T>(operation: Operation, work: () => Awaitable<T>): Awaitable<T> {
    const startedAt = this.#clock()
    try {
      return this.#told(operation, work(), startedAt)
    } catch (error) {
      throw this.#failed(operation, error)
    }
  }

  #clock(): number {
    return this.#slow ? performance.now() : 0
  }

  #told<T>(operation: Operation, answer: Awaitable<T>, startedAt: number): Awaitable<T> {
    if (!(answer instanceof Promise)) {
      this.#count(operation)
      return answer
    }
    // The first one shows that time matters, and is not timed itself.
    this.#slow = true
    return this.#timed(operation, answer, startedAt)
  }

  #failed(operation: Operation, error: unknown): unknown {
    this.#count(operation, error)
    return error
  }

  async #timed<T>(operation: Operation, answer: Promise<T>, startedAt: number): Promise<T> {
    try {
      const value = await answer
      this.#time(operation, startedAt)
      return value
    } catch (error) {
      this.#time(operation, startedAt, error)
      throw error
    }
  }

  #time(operation: Operation, startedAt: number, error?: unknown): void {
    this.#numbers.count(operation, error)
    if (startedAt === 0) return
    this.#numbers.time(operation, (performance.now() - startedAt) / 1000, error)
  }

  #count(operation: Operation, error?: unknown): void {
    this.#numbers.count(operation, error)
  }
}

function keyOf(operation: Operation, error: unknown): string {
  return error === undefined ? operation : `${operation} ${typeOf(error)}`
}

function attributesOf(operation: Operation, error: unknown): Record<string, string> {
  return { 'catflap.store.operation': operation, ...(error !== undefined && { 'error.type': typeOf(error) }) }
}

function typeOf(error: unknown): string {
  return error instanceof SessionStoreError && CODES.has(error.code) ? error.code : '_OTHER'
}
