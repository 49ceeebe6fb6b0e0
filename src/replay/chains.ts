import { uint32s } from './column.ts'

/** Lists of rows, told by a number: the first and the last of each. What comes between, the rows know themselves. */
export class Chains {
  /** Rows plus one; 0: the list is empty. */
  readonly first = uint32s()
  readonly last = uint32s()

  isEmpty(list: number): boolean {
    return this.first.get(list) === 0
  }
}

/** Where one list is. */
export interface Chain {
  readonly chains: Chains
  readonly list: number
}
