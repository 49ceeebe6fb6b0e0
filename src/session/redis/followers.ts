/** Who wants to know when a session was changed by somebody else, by its name in Redis. */
export class Followers {
  readonly #byName = new Map<string, Set<() => void>>()

  /** Returns how to stop. */
  add(name: string, changed: () => void): () => void {
    // Of two equal functions each is a follower of its own.
    const follower = (): void => changed()
    const followers = this.#byName.get(name)
    if (followers) followers.add(follower)
    else this.#byName.set(name, new Set([follower]))
    return () => this.#remove(name, follower)
  }

  #remove(name: string, follower: () => void): void {
    const followers = this.#byName.get(name)
    if (followers?.delete(follower) && followers.size === 0) this.#byName.delete(name)
  }

  tell(name: string): void {
    for (const follower of this.#byName.get(name) ?? []) follower()
  }

  /** Something may have been missed. */
  tellAll(): void {
    for (const name of [...this.#byName.keys()]) this.tell(name)
  }

  clear(): void {
    this.#byName.clear()
  }
}
