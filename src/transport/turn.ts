import type { Writable } from 'node:stream'

/**
 * Writes of one turn of the event loop, made together at its end. A write to a peer that sleeps has to wake it, which costs as
 * much again as the write; whom the first of several writes has woken is still awake at the next.
 */
export class Turn<T> {
  readonly #write: (item: T) => void
  readonly #atEnd = (): void => this.flush()
  #items: T[] = []

  constructor(write: (item: T) => void) {
    this.#write = write
  }

  add(item: T): void {
    if (this.#items.length === 0) setImmediate(this.#atEnd)
    this.#items.push(item)
  }

  /** Does not wait for the end of the turn. */
  flush(): void {
    const items = this.#items
    this.#items = []
    for (const item of items) this.#write(item)
  }
}

/** Writes to one stream: the first of a turn at once, what follows in the same turn in one system call at its end. */
export class TurnWriter {
  readonly #stream: Writable
  readonly #atEnd = (): void => this.#flush()
  #writes = 0

  constructor(stream: Writable) {
    this.#stream = stream
  }

  /** As the stream's own `write`. */
  write(chunk: Buffer): boolean {
    this.#writes++
    if (this.#writes === 1) setImmediate(this.#atEnd)
    else if (this.#writes === 2) this.#stream.cork()
    return this.#stream.write(chunk)
  }

  #flush(): void {
    if (this.#writes > 1) this.#stream.uncork()
    this.#writes = 0
  }
}
