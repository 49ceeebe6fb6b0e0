import { uint32s } from './column.ts'

/** Ids as JSON texts, of which most are small numbers. Others are left to those who can read them elsewhere. */
export class IdColumn {
  readonly #numbers = uint32s()

  set(row: number, id: string): void {
    if (SMALL_NUMBER.test(id)) this.#numbers.set(row, Number(id) + 1)
  }

  get(row: number): string | undefined {
    const number = this.#numbers.get(row)
    return number === 0 ? undefined : String(number - 1)
  }
}

const SMALL_NUMBER = /^(?:0|[1-9]\d{0,8})$/
