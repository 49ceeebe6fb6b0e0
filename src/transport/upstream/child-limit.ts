import type { ChildRoom } from './child-room.ts'

/** How many children several commands may have at once, all together: a route's as it was, and as it is. */
export class ChildLimit {
  #max: number
  /** In the order in which they came: what is oldest goes first, and is served first. */
  readonly #rooms = new Set<ChildRoom>()

  constructor(max: number) {
    this.#max = max
  }

  get max(): number {
    return this.#max
  }

  /** Fewer than there are: those that live go on, and no other begins until enough are gone. */
  set max(max: number) {
    this.#max = max
    this.freed()
  }

  /** Children that may still be started. Negative: there are more than there may be. */
  get left(): number {
    let left = this.#max
    for (const room of this.#rooms) left -= room.used
    return left
  }

  /** How many have to go, besides those that are going, so that one more than those who wait has room. */
  get missing(): number {
    let waiting = 0
    let ending = 0
    for (const room of this.#rooms) {
      waiting += room.waiting
      ending += room.ending
    }
    const wanted = waiting + Math.max(0, -this.left)
    // Enough was given up for those who wait, but a session that is given up takes a moment until its child is seen to end.
    const going = waiting > 0 ? Math.max(ending, wanted) : ending
    return wanted + 1 - going
  }

  /** Nobody has a part in it any more. */
  get unused(): boolean {
    this.#sweep()
    return this.#rooms.size === 0
  }

  join(room: ChildRoom): void {
    this.#rooms.add(room)
  }

  /** Ends so many, or as many as can be; false: that was not enough. Those that nobody uses in `sparing` stay. */
  makeRoom(missing: number, sparing?: ChildRoom): boolean {
    for (let n = missing; n > 0; n--) if (!this.#giveUp(sparing)) return false
    return true
  }

  /** There is room, perhaps: for who waits, or else for whoever wants to know. */
  freed(): void {
    this.#sweep()
    for (const room of [...this.#rooms]) {
      if (this.left <= 0) return
      room.serve()
    }
  }

  /** First what no client notices. */
  #giveUp(sparing: ChildRoom | undefined): boolean {
    for (const room of this.#rooms) if (room !== sparing && room.giveUp.unused()) return true
    for (const room of this.#rooms) if (room.giveUp.session()) return true
    return false
  }

  #sweep(): void {
    for (const room of this.#rooms) if (room.gone) this.#rooms.delete(room)
  }
}
