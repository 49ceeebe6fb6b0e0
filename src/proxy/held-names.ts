import { createHash } from 'node:crypto'
import { inTime } from '../in-time.ts'
import type { Membership } from '../session/shared.ts'

/** An answer waits no longer for others to know what it gives, in ms. */
const PATIENCE = 250
/** What is remembered of the own server, so that nobody is asked for it. */
const MAX_OWN = 10_000

interface Held {
  readonly until: number
  /** All know, as far as is known. */
  told: boolean
}

/** What the server of this process has given to clients, and the one of another process would not know. */
export class HeldNames {
  readonly #membership: Membership
  readonly #route: string
  /** The oldest first. */
  readonly #own = new Map<string, Held>()
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
    const held = this.#own.get(name)
    return held !== undefined && performance.now() < held.until
  }

  /** Resolves when others know of it, or could not be told. */
  async hold(name: string, ttl: number): Promise<void> {
    const known = this.#own.get(name)
    const now = performance.now()
    if (known?.told && known.until - now > ttl / 2) return
    this.#own.delete(name)
    if (this.#own.size >= MAX_OWN) for (const oldest of this.#own.keys()) if (this.#own.delete(oldest)) break
    const held: Held = { until: now + ttl, told: false }
    this.#own.set(name, held)
    // The client is not kept waiting for long: it only matters where it comes to another process.
    await inTime(this.#tell(name, held), PATIENCE, () => new Error('late')).catch(() => {})
  }

  async #tell(name: string, held: Held): Promise<void> {
    const left = Math.floor(held.until - performance.now())
    if (left <= 0) return
    await this.#membership.hold(name, left)
    held.told = true
  }

  /** Nothing of it is lost with the former name of this process: its server runs on. */
  async #holdAgain(): Promise<void> {
    const { id } = this.#membership
    const all = [...this.#own]
    for (const [, held] of all) held.told = false
    for (const [name, held] of all) {
      await this.#tell(name, held).catch(() => {})
      // Under another one by now: that is told anew.
      if (this.#membership.id !== id) return
    }
  }

  close(): void {
    this.#stop()
    this.#own.clear()
  }
}
