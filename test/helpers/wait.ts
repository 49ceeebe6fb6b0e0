/** Waiting on events, with a bound and a message that says what did not happen. */
import type { EventEmitter } from 'node:events'

export interface WaitOptions {
  /** Default 10000. */
  readonly timeoutMs?: number
  /** What is being waited for, in words. */
  readonly what?: string
}

/** The promise's value, or an error naming `what` after `timeoutMs`. */
export async function within<T>(
  promise: Promise<T>,
  { timeoutMs = 10_000, what = 'a promise' }: WaitOptions = {}
): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${timeoutMs} ms for ${what}`)), timeoutMs)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

/**
 * For what is about real time: `attempt` is given so many ms, and says false where these were over before what was to be shown
 * could begin. Then it has four times as many, for a machine may be busier than any fixed time is long; at the third false it fails.
 */
export async function withTime(ms: number, attempt: (ms: number) => Promise<boolean>): Promise<void> {
  for (const given of [ms, 4 * ms, 16 * ms]) if (await attempt(given)) return
  throw new Error(`even ${16 * ms} ms were over before it began`)
}

/** The arguments of the emitter's next `event`; its 'error' fails the wait. */
export async function waitFor(emitter: EventEmitter, event: string, options: WaitOptions = {}): Promise<unknown[]> {
  let onEvent: (...args: unknown[]) => void = () => {}
  let onError: (error: Error) => void = () => {}
  const happened = new Promise<unknown[]>((resolve, reject) => {
    onEvent = (...args) => resolve(args)
    onError = reject
    emitter.once(event, onEvent)
    if (event !== 'error') emitter.once('error', onError)
  })
  try {
    return await within(happened, { what: `the event '${event}'`, ...options })
  } finally {
    emitter.off(event, onEvent)
    emitter.off('error', onError)
  }
}

interface Waiter<T> {
  readonly wants: (item: T) => boolean
  readonly resolve: (item: T) => void
  readonly reject: (error: Error) => void
}

/** Things that arrive in order: kept, and awaitable. */
export class Inbox<T> {
  readonly items: T[] = []
  readonly #what: string
  readonly #waiting = new Set<Waiter<T>>()
  #read = 0
  #ended: string | undefined

  constructor(what: string) {
    this.#what = what
  }

  push(item: T): void {
    this.items.push(item)
    for (const waiter of [...this.#waiting]) {
      if (!waiter.wants(item)) continue
      this.#waiting.delete(waiter)
      waiter.resolve(item)
    }
  }

  /** Nothing more comes: whoever waits is told so. */
  end(reason: string): void {
    this.#ended ??= reason
    for (const waiter of this.#waiting) waiter.reject(this.#missed(reason))
    this.#waiting.clear()
  }

  get ended(): string | undefined {
    return this.#ended
  }

  /** The first item that `wants` accepts, whether it came already or is yet to come. */
  until(wants: (item: T) => boolean, options: WaitOptions = {}): Promise<T> {
    const found = this.items.find(wants)
    if (found !== undefined) return Promise.resolve(found)
    return this.#wait(wants, options)
  }

  /** The items one at a time, in order of arrival. */
  async next(options: WaitOptions = {}): Promise<T> {
    const index = this.#read++
    if (index < this.items.length) return this.items[index]!
    let arriving = this.items.length
    try {
      return await this.#wait(() => arriving++ === index, options)
    } catch (error) {
      this.#read-- // not delivered: the next call gets it
      throw error
    }
  }

  #wait(wants: (item: T) => boolean, options: WaitOptions): Promise<T> {
    if (this.#ended !== undefined) return Promise.reject(this.#missed(this.#ended))
    let waiter: Waiter<T> | undefined
    const arrived = new Promise<T>((resolve, reject) => {
      waiter = { wants, resolve, reject }
      this.#waiting.add(waiter)
    })
    const what = options.what ?? `${this.#what}; so far ${this.#seen()}`
    return within(arrived, { ...options, what }).finally(() => waiter && this.#waiting.delete(waiter))
  }

  #missed(reason: string): Error {
    return new Error(`no more ${this.#what} (${reason}); so far ${this.#seen()}`)
  }

  #seen(): string {
    const last = this.items.slice(-20).map(item => (typeof item === 'string' ? item : JSON.stringify(item)))
    return `${this.items.length}:\n  ${last.join('\n  ')}`
  }
}
