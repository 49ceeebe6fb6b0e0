import type { SharedState } from '../shared.ts'

/** While it does not do its work it is asked so often, in ms; and at once where something shows that it may again, but no more often than `SOON`. */
const EVERY = 1_000
const SOON = 200
/** After so many ms without any work it is asked how it is. */
const IDLE = 5_000

/**
 * What is known of how Redis is doing. Each operation tells how it went. That it works again is believed after a probe alone: a Redis that
 * is full, or one node of a cluster that is gone, fails some operations and does others.
 */
export class Health {
  readonly #probe: () => Promise<unknown>
  readonly #idle: () => void
  readonly #listeners = new Set<(state: SharedState) => void>()
  readonly #timer = setInterval(() => this.#tick(), EVERY).unref()
  #state: SharedState = { ok: true, since: Date.now() }
  #workedAt = performance.now()
  #probedAt = Number.NEGATIVE_INFINITY
  #probing = false
  #ticks = 0

  /** `probe` fails where Redis does not do its work. `idle` is called about every 5 seconds. */
  constructor(probe: () => Promise<unknown>, idle: () => void) {
    this.#probe = probe
    this.#idle = idle
  }

  get state(): SharedState {
    return this.#state
  }

  /** Is called when `ok` has changed. Returns how to stop that. */
  onChange(listener: (state: SharedState) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  worked(): void {
    this.#workedAt = performance.now()
    if (!this.#state.ok && this.#workedAt - this.#probedAt >= SOON) void this.#ask()
  }

  /** It is there again, and may do its work. */
  connected(): void {
    if (!this.#state.ok) void this.#ask()
  }

  failed(error: unknown): void {
    this.#become(false, reasonOf(error))
  }

  #tick(): void {
    if (++this.#ticks % (IDLE / EVERY) === 0) this.#idle()
    if (!this.#state.ok || performance.now() - this.#workedAt >= IDLE) void this.#ask()
  }

  async #ask(): Promise<void> {
    if (this.#probing) return
    this.#probing = true
    this.#probedAt = performance.now()
    try {
      await this.#probe()
      this.#workedAt = performance.now()
      this.#become(true)
    } catch (error) {
      this.failed(error)
    } finally {
      this.#probing = false
    }
  }

  #become(ok: boolean, reason?: string): void {
    const { ok: before, since } = this.#state
    this.#state = { ok, ...(reason !== undefined && { reason }), since: ok === before ? since : Date.now() }
    if (ok !== before) for (const listener of this.#listeners) listener(this.#state)
  }

  close(): void {
    clearInterval(this.#timer)
    this.#listeners.clear()
  }
}

/** What Redis and connections say in errors holds no secret of ours; it may be long. */
function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message || error.name : String(error)
  return text.split('\n', 1)[0]!.slice(0, 200)
}
