interface Block {
  /** Of the first number in it, in units. */
  base: number
  /** In units beyond `base`; or, where that is not exact, the numbers themselves. */
  values: Uint32Array | Float64Array
}

/** Numbers that mostly lie close to those before them, as times and offsets do: half of what any numbers take. All come back exactly. */
export class NearColumn {
  readonly #blocks: Block[] = []
  readonly #perUnit: number

  /** `perUnit`: so many units make 1. */
  constructor(perUnit: number) {
    this.#perUnit = perUnit
  }

  get(i: number): number {
    const block = this.#blocks[blockOf(i)]
    if (!block) return 0
    const value = block.values[placeOf(i)]!
    return block.values instanceof Float64Array ? value : (block.base + value) / this.#perUnit
  }

  /** One after the other, from 0 on. */
  set(i: number, value: number): void {
    const number = blockOf(i)
    const at = placeOf(i)
    const units = Math.round(value * this.#perUnit)
    const block = (this.#blocks[number] ??= { base: units, values: new Uint32Array(number === 0 ? FIRST : BLOCK) })
    const { base, values } = block
    if (values instanceof Float64Array) values[at] = value
    else if (units >= base && units - base < 2 ** 32 && units / this.#perUnit === value) values[at] = units - base
    else this.#asTheyAre(block, at)[at] = value
  }

  #asTheyAre(block: Block, count: number): Float64Array {
    const exact = new Float64Array(block.values.length)
    for (let i = 0; i < count; i++) exact[i] = (block.base + block.values[i]!) / this.#perUnit
    block.values = exact
    return exact
  }
}

/** Folders may hold thousands of small tapes. */
const FIRST = 128
const BLOCK_BITS = 12
const BLOCK = 1 << BLOCK_BITS

function blockOf(i: number): number {
  return i < FIRST ? 0 : ((i - FIRST) >>> BLOCK_BITS) + 1
}

function placeOf(i: number): number {
  return i < FIRST ? i : (i - FIRST) & (BLOCK - 1)
}
