type Numbers = Uint32Array | Uint16Array

/** Folders may hold thousands of small tapes. */
const FIRST = 128
const BLOCK_BITS = 14
const BLOCK = 1 << BLOCK_BITS

/** Numbers that grow in number, without ever being copied. */
export class Column {
  readonly #blocks: Numbers[] = []
  readonly #make: (length: number) => Numbers
  #first: Numbers | undefined

  constructor(make: (length: number) => Numbers) {
    this.#make = make
  }

  get(i: number): number {
    const j = i - FIRST
    return (j < 0 ? this.#first?.[i] : this.#blocks[j >>> BLOCK_BITS]?.[j & (BLOCK - 1)]) ?? 0
  }

  set(i: number, value: number): void {
    const j = i - FIRST
    if (j < 0) (this.#first ??= this.#make(FIRST))[i] = value
    else (this.#blocks[j >>> BLOCK_BITS] ??= this.#make(BLOCK))[j & (BLOCK - 1)] = value
  }
}

/** Of whole numbers from 0 to 2³²-1. What was never set is 0, and takes nothing where nothing near it was. */
export function uint32s(): Column {
  return new Column(n => new Uint32Array(n))
}

/** Of whole numbers from 0 to 2¹⁶-1. */
export function uint16s(): Column {
  return new Column(n => new Uint16Array(n))
}
