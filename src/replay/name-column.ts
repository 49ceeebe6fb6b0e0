import type { Column } from './column.ts'

/** Names of which most recur. */
export class NameColumn {
  readonly #column: Column
  readonly #max: number
  /** Numbers from 2 on; 1: it stands on the tape; 0: there is none. */
  readonly #numbers = new Map<string, number>()
  readonly #names: string[] = []

  constructor(column: Column, max: number) {
    this.#column = column
    this.#max = max
  }

  set(row: number, name: string | undefined): void {
    if (name !== undefined) this.#column.set(row, this.#numberOf(name))
  }

  get(row: number, onTape: () => string | undefined): string | undefined {
    const number = this.#column.get(row)
    if (number === 0) return undefined
    return number === 1 ? onTape() : this.#names[number - 2]
  }

  #numberOf(name: string): number {
    const known = this.#numbers.get(name)
    if (known !== undefined) return known
    if (this.#names.length >= this.#max) return 1
    const number = this.#names.push(name) + 1
    this.#numbers.set(name, number)
    return number
  }
}
