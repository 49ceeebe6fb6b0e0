import { CatflapError } from '../../errors.ts'

/** A child, as far as it takes room. */
interface Roomer {
  /** It was told to end, and will soon be gone. */
  readonly ending: boolean
}

/** How many children one command may have at once. Where there is no room, one that nobody uses makes some. */
export class ChildRoom {
  readonly #max: number
  readonly #children: ReadonlySet<Roomer>
  readonly #giveUpIdle: () => boolean
  /** Room that was taken, for a child that is about to be started. */
  #promised = 0
  readonly #waiting: PromiseWithResolvers<void>[] = []
  #closed = false
  /** Told of room that nobody waits for here. */
  onRoom: (() => void) | undefined
  /** How many wait elsewhere for room that `onRoom` tells of: it has been made for them. */
  elsewhere: () => number = () => 0

  /** `giveUpIdle` ends a child that nobody uses, or will soon, and says whether there was one. */
  constructor(max: number, children: ReadonlySet<Roomer>, giveUpIdle: () => boolean) {
    this.#max = max
    this.#children = children
    this.#giveUpIdle = giveUpIdle
  }

  /** Children that may still be started. */
  get left(): number {
    return this.#max - this.#children.size - this.#promised
  }

  /** Promises room for one child. Who has it says `taken` and starts the child in one go. Rejects with too_many_children. */
  async take(signal?: AbortSignal): Promise<void> {
    if (this.#closed) throw new CatflapError('shutting_down')
    if (this.left <= 0) {
      const waiting = this.#waiting.length + this.elsewhere()
      if (waiting >= this.#ending && !this.#giveUpIdle()) throw new CatflapError('too_many_children')
      const place = Promise.withResolvers<void>()
      this.#waiting.push(place)
      signal?.addEventListener('abort', () => this.#leave(place), { once: true })
      // Whoever makes room hands it over.
      return await place.promise
    }
    this.#promised++
  }

  /** The child is started now, and counts by itself. */
  taken(): void {
    if (this.#promised > 0) this.#promised--
  }

  /** A child is gone, and no longer among the children: who waits has its room. */
  freed(): void {
    while (this.#waiting.length > 0 && this.left > 0) {
      this.#promised++
      this.#waiting.shift()!.resolve()
    }
    if (this.left > 0) this.onRoom?.()
  }

  /** Waits no longer; who has been given room meanwhile has it. */
  #leave(place: PromiseWithResolvers<void>): void {
    const at = this.#waiting.indexOf(place)
    if (at < 0) return
    this.#waiting.splice(at, 1)
    place.reject(new CatflapError('too_many_children'))
  }

  close(): void {
    this.#closed = true
    for (const place of this.#waiting.splice(0)) place.reject(new CatflapError('shutting_down'))
  }

  get #ending(): number {
    let n = 0
    for (const child of this.#children) if (child.ending) n++
    return n
  }
}
