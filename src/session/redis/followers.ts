/** Who follows reads its session: where many do, others that ask Redis have their turn between them. */
const BATCH = 100
/** Between two batches, in ms. */
const PAUSE = 50

type Follower = (ended: boolean) => void

/** Who wants to know when a session was changed by somebody else, by its name in Redis. */
export class Followers {
  readonly #byName = new Map<string, Set<Follower>>()
  #timer: NodeJS.Timeout | undefined

  /** Returns how to stop. */
  add(name: string, changed: Follower): () => void {
    // Of two equal functions each is a follower of its own.
    const follower: Follower = ended => changed(ended)
    const followers = this.#byName.get(name)
    if (followers) followers.add(follower)
    else this.#byName.set(name, new Set([follower]))
    return () => this.#remove(name, follower)
  }

  #remove(name: string, follower: Follower): void {
    const followers = this.#byName.get(name)
    if (followers?.delete(follower) && followers.size === 0) this.#byName.delete(name)
  }

  tell(name: string, ended = false): void {
    for (const follower of this.#byName.get(name) ?? []) follower(ended)
  }

  /** Something may have been missed. */
  tellAll(): void {
    this.hold()
    this.#tellNext([...this.#byName.keys()], 0)
  }

  #tellNext(names: readonly string[], from: number): void {
    const to = from + BATCH
    for (const name of names.slice(from, to)) this.tell(name)
    if (to < names.length) this.#timer = setTimeout(() => this.#tellNext(names, to), PAUSE).unref()
  }

  /** Who was not told yet by `tellAll` is not told any more: they all will be, later. */
  hold(): void {
    clearTimeout(this.#timer)
  }

  clear(): void {
    this.hold()
    this.#byName.clear()
  }
}
