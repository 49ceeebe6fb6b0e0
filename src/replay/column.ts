type Numbers = Float64Array | Uint32Array | Uint16Array

/** Numbers that grow in number, without ever being copied. */
export class Column {
  readonly #first: Numbers
  readonly #blocks: Numbers[] = []
  readonly #make: (length: number) => Numbers

  constructor(make: (length: number) => Numbers) {
    this.#make = make
    this.#first = make(FIRST)
  }

  get(i: number): number {
    const j = i - FIRST
    return (j < 0 ? this.#first[i] : this.#blocks[j >>> BLOCK_BITS]?.[j & (BLOCK - 1)]) ?? 0
  }

  set(i: number, value: number): void {
    const j = i - FIRST
    if (j < 0) this.#first[i] = value
    else (this.#blocks[j >>> BLOCK_BITS] ??= this.#make(BLOCK))[j & (BLOCK - 1)] = value
  }
}

/** Folders may hold thousands of small tapes. */
const FIRST = 128
const BLOCK_BITS = 14
const BLOCK = 1 << BLOCK_BITS

/** Of numbers from 0 to 2³²-1. */
export function uint32s(): Column {
  return new Column(n => new Uint32Array(n))
}

/** Of any numbers. */
export function float64s(): Column {
  return new Column(n => new Float64Array(n))
}
