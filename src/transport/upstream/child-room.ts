import { CatflapError } from '../../errors.ts'
import { ChildLimit } from './child-limit.ts'

/** A child, as far as it takes room. */
interface Roomer {
  /** It was told to end, and will soon be gone. */
  readonly ending: boolean
}

/** What may go where others need the room. Each ends one, or will soon, and says whether there was one. */
export interface GiveUp {
  /** A child that nobody uses. */
  unused(): boolean
  /** A session that does nothing, and its child with it. */
  session(): boolean
}

/** The children of one command, within what its limit allows. Where there is no room, one that nobody uses makes some. */
export class ChildRoom {
  readonly giveUp: GiveUp
  readonly #limit: ChildLimit
  readonly #children: ReadonlySet<Roomer>
  /** Room that was taken, for a child that is about to be started. */
  #promised = 0
  readonly #waiting: PromiseWithResolvers<void>[] = []
  #closed = false
  /** Told of room that nobody waits for here. */
  onRoom: (() => void) | undefined
  /** How many wait elsewhere for room that `onRoom` tells of: it has been made for them. */
  elsewhere: () => number = () => 0

  /** A number is a limit that nobody else has a part in. */
  constructor(limit: ChildLimit | number, children: ReadonlySet<Roomer>, giveUp: GiveUp) {
    this.#limit = typeof limit === 'number' ? new ChildLimit(limit) : limit
    this.#children = children
    this.giveUp = giveUp
    this.#limit.join(this)
  }

  /** Children that may still be started. */
  get left(): number {
    return this.#limit.left
  }

  /** Room that is taken here. */
  get used(): number {
    return this.#children.size + this.#promised
  }

  /** Of that, what will soon be free. */
  get ending(): number {
    let n = 0
    for (const child of this.#children) if (child.ending) n++
    return n
  }

  /** How many wait for room. */
  get waiting(): number {
    return this.#waiting.length + this.elsewhere()
  }

  /** It takes no room any more, and never will. */
  get gone(): boolean {
    return this.#closed && this.used === 0
  }

  /** Promises room for one child. Who has it says `taken` and starts the child in one go. Rejects with too_many_children. */
  async take(signal?: AbortSignal): Promise<void> {
    if (this.#closed) throw new CatflapError('shutting_down')
    if (this.left <= 0) {
      if (!this.#limit.makeRoom(this.#limit.missing)) throw new CatflapError('too_many_children')
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

  /** Makes room for one who waits elsewhere, of what is not its own unused children. False: none can be made. */
  makeRoom(): boolean {
    return this.#limit.makeRoom(Math.max(1, this.#limit.missing), this)
  }

  /** A child is gone, and no longer among the children: who waits has its room. */
  freed(): void {
    this.#limit.freed()
  }

  /** There is room: who waits here has it. */
  serve(): void {
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

  /** Its children still take room until they are gone. */
  close(): void {
    this.#closed = true
    for (const place of this.#waiting.splice(0)) place.reject(new CatflapError('shutting_down'))
    this.#limit.freed()
  }
}
