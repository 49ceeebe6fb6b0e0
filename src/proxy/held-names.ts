import { createHash } from 'node:crypto'
import { inTime } from '../in-time.ts'
import type { Membership } from '../session/shared.ts'

/** An answer waits no longer for others to know what it gives, in ms. */
const PATIENCE = 250
/** What is remembered of the own server, so that nobody is asked for it. */
const MAX_OWN = 10_000

/** What the server of this process has given to clients, and the one of another process would not know. */
export class HeldNames {
  readonly #membership: Membership
  readonly #route: string
  /** Until when they are held; the oldest first. */
  readonly #own = new Map<string, number>()
  readonly #stop: () => void

  constructor(membership: Membership, route: string) {
    this.#membership = membership
    this.#route = route
    this.#stop = membership.onLost(() => void this.#holdAgain())
  }

  /** What it is called among the processes: nothing that a server gives can be had from this. */
  nameOf(given: string): string {
    return createHash('sha256').update(`${this.#route}\n${given}`).digest('base64url')
  }

  /** The server of this process has given it. */
  owns(name: string): boolean {
    const until = this.#own.get(name)
    return until !== undefined && performance.now() < until
  }

  /** Resolves when others know of it, or could not be told. */
  async hold(name: string, ttl: number): Promise<void> {
    const known = this.#own.get(name)
    const now = performance.now()
    if (known !== undefined && known - now > ttl / 2) return
    this.#own.delete(name)
    if (this.#own.size >= MAX_OWN) for (const oldest of this.#own.keys()) if (this.#own.delete(oldest)) break
    this.#own.set(name, now + ttl)
    try {
      await inTime(this.#membership.hold(name, ttl), PATIENCE, () => new Error('late'))
    } catch {
      // The client is not kept waiting for what only matters where it comes to another process.
    }
  }

  /** Nothing of it is lost with the former name of this process: its server runs on. */
  async #holdAgain(): Promise<void> {
    const id = this.#membership.id
    for (const [name, until] of [...this.#own]) {
      const left = Math.floor(until - performance.now())
      if (left > 0) await this.#membership.hold(name, left).catch(() => {})
      // Under another one by now: that is told anew.
      if (this.#membership.id !== id) return
    }
  }

  close(): void {
    this.#stop()
    this.#own.clear()
  }
}
