import { type Column, uint32s } from './column.ts'
import { KeyTable } from './key-table.ts'

/** Positions of equal requests, in order. */
export interface Bucket {
  /** Of its key. */
  readonly id: number
  readonly positions: Uint32Array
}

/** While recorded requests are read: which key each of them has. */
export class BucketsBuilder {
  readonly #table: KeyTable
  readonly #keys = uint32s()
  readonly #alternatives = uint32s()
  #hasAlternatives = false

  constructor(table = new KeyTable()) {
    this.#table = table
  }

  put(key: string, position: number): void {
    this.#keys.set(position, this.#table.add(key) + 1)
  }

  /** Another key by which it may be found. */
  putAlternative(key: string, position: number): void {
    this.#hasAlternatives = true
    this.#alternatives.set(position, this.#table.add(key) + 1)
  }

  /** Of so many positions. `keep`: what key a position has can be asked for. */
  build(count: number, keep: boolean): Buckets {
    const columns = this.#hasAlternatives ? [this.#keys, this.#alternatives] : [this.#keys]
    return new Buckets(this.#table, columns, count, keep)
  }
}

/** Where equal requests stand. */
export class Buckets {
  readonly #table: KeyTable
  /** For each key the first of its positions among all. */
  readonly #starts: Uint32Array
  readonly #positions: Uint32Array
  readonly #columns: readonly Column[]

  constructor(table: KeyTable, columns: readonly Column[], count: number, keep: boolean) {
    this.#table = table
    const starts = new Uint32Array(table.size + 1)
    for (const column of columns)
      for (let i = 0; i < count; i++) {
        const key = column.get(i)
        if (key > 0) starts[key]!++
      }
    for (let key = 1; key < starts.length; key++) starts[key]! += starts[key - 1]!
    const positions = new Uint32Array(starts.at(-1)!)
    // From the last to the first: each key's end moves down to its start.
    for (let i = count - 1; i >= 0; i--)
      for (const column of columns) {
        const key = column.get(i)
        if (key > 0) positions[--starts[key]!] = i
      }
    this.#starts = starts
    this.#positions = positions
    this.#columns = keep ? columns : []
  }

  get(key: string): Bucket | undefined {
    const id = this.#table.get(key)
    if (id === undefined) return undefined
    const end = this.#starts[id + 2] ?? this.#positions.length
    return { id, positions: this.#positions.subarray(this.#starts[id + 1], end) }
  }

  /** The number of a key; undefined where no request has it. */
  idOf(key: string): number | undefined {
    return this.#table.get(key)
  }

  /** The number of a position's key, where these are kept. */
  keyAt(position: number): number | undefined {
    return numberOf(this.#columns[0], position)
  }

  alternativeAt(position: number): number | undefined {
    return numberOf(this.#columns[1], position)
  }
}

function numberOf(column: Column | undefined, position: number): number | undefined {
  const key = column?.get(position) ?? 0
  return key > 0 ? key - 1 : undefined
}
