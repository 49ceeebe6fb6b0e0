import { hash } from 'node:crypto'

const WORDS = 8
const BLOCK_BITS = 11
const BLOCK = 1 << BLOCK_BITS

export interface KeyTableOptions {
  /** Where the search for a digest begins. Digests that begin at one place only make it longer. */
  readonly slotOf?: (digest: Buffer) => number
}

/**
 * Numbers keys in the order in which they first come. Of a key its whole SHA-256 is kept, and compared: what shares a place in the
 * table is told apart all the same. There may be millions of them, so that nothing here is an object of its own.
 */
export class KeyTable {
  size = 0
  /** Numbers of keys plus one; 0: nothing is here. */
  #slots = new Uint32Array(64)
  readonly #digests: Uint32Array[] = []
  readonly #slotOf: (digest: Buffer) => number

  constructor({ slotOf = firstWord }: KeyTableOptions = {}) {
    this.#slotOf = slotOf
  }

  /** The number of a key, which may be a new one: `size` tells. */
  add(key: string): number {
    if ((this.size + 1) * 4 > this.#slots.length * 3) this.#grow()
    const digest = digestOf(key)
    const slot = this.#find(digest)
    const known = this.#slots[slot]!
    if (known > 0) return known - 1
    const number = this.size++
    this.#slots[slot] = number + 1
    const words = (this.#digests[number >>> BLOCK_BITS] ??= new Uint32Array(BLOCK * WORDS))
    const at = (number & (BLOCK - 1)) * WORDS
    for (let i = 0; i < WORDS; i++) words[at + i] = digest.readUInt32LE(4 * i)
    return number
  }

  get(key: string): number | undefined {
    const known = this.#slots[this.#find(digestOf(key))]!
    return known === 0 ? undefined : known - 1
  }

  /** Where it is, or would be. */
  #find(digest: Buffer): number {
    const mask = this.#slots.length - 1
    let slot = this.#slotOf(digest) & mask
    for (let known = this.#slots[slot]!; known > 0; known = this.#slots[slot]!) {
      if (this.#isEqual(known - 1, digest)) return slot
      slot = (slot + 1) & mask
    }
    return slot
  }

  #isEqual(number: number, digest: Buffer): boolean {
    const words = this.#digests[number >>> BLOCK_BITS]!
    const at = (number & (BLOCK - 1)) * WORDS
    for (let i = 0; i < WORDS; i++) if (words[at + i] !== digest.readUInt32LE(4 * i)) return false
    return true
  }

  #grow(): void {
    this.#slots = new Uint32Array(this.#slots.length * 2)
    const mask = this.#slots.length - 1
    const digest = Buffer.alloc(WORDS * 4)
    for (let number = 0; number < this.size; number++) {
      const words = this.#digests[number >>> BLOCK_BITS]!
      const at = (number & (BLOCK - 1)) * WORDS
      for (let i = 0; i < WORDS; i++) digest.writeUInt32LE(words[at + i]!, 4 * i)
      let slot = this.#slotOf(digest) & mask
      while (this.#slots[slot]! > 0) slot = (slot + 1) & mask
      this.#slots[slot] = number + 1
    }
  }
}

function digestOf(key: string): Buffer {
  return hash('sha256', key, 'buffer')
}

function firstWord(digest: Buffer): number {
  return digest.readUInt32LE(0)
}
