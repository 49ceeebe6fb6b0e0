import { inTime } from '../../in-time.ts'
import type { RedisClient } from './client.ts'

/** So many connections may end before who waits is told: the one that broke, and one try for another. */
const TRIES = 2

/**
 * In front of a client that is not connected. Within it what is asked meanwhile would pile up, and be done long after who asked was told that it has
 * failed; what waits here is not asked yet.
 */
export class Gate {
  readonly #client: RedisClient
  readonly #patience: number
  /** `performance.now()`; undefined: it is connected. */
  #awaySince: number | undefined = performance.now()
  #ended = 0
  #reason: Error | undefined
  #waiting: PromiseWithResolvers<void> | undefined

  /** Who asks when it has been away for more than `patience` ms does not wait. */
  constructor(client: RedisClient, patience: number) {
    this.#client = client
    this.#patience = patience
    client.on('ready', () => this.#open())
    client.on('close', () => this.#tried())
    client.on('error', (error: Error) => {
      this.#reason = reasonOf(error)
    })
  }

  get isOpen(): boolean {
    return this.#client.status === 'ready'
  }

  /** Resolves when the client is connected; fails, with what is known of why, where it is not soon enough. */
  async wait(): Promise<void> {
    this.#awaySince ??= performance.now()
    const left = this.#awaySince + this.#patience - performance.now()
    if (left <= 0) throw this.#error()
    this.#waiting ??= Promise.withResolvers()
    await inTime(this.#waiting.promise, left, () => this.#error())
    // It may be lost again by now.
    if (!this.isOpen) throw this.#error()
  }

  #open(): void {
    this.#awaySince = undefined
    this.#ended = 0
    this.#reason = undefined
    this.#waiting?.resolve()
    this.#waiting = undefined
  }

  #tried(): void {
    this.#awaySince ??= performance.now()
    if (++this.#ended >= TRIES) this.close()
  }

  #error(): Error {
    return this.#reason ?? new Error('there is no connection')
  }

  /** Nobody waits any more. */
  close(): void {
    this.#waiting?.reject(this.#error())
    this.#waiting = undefined
  }
}

/** A cluster tells what happened at the last node that was tried. */
function reasonOf(error: Error): Error {
  const { lastNodeError } = error as { readonly lastNodeError?: unknown }
  return lastNodeError instanceof Error ? lastNodeError : error
}
