import type { Chain } from './chains.ts'
import { Chains } from './chains.ts'
import { uint16s, uint32s } from './column.ts'
import { type Envelope, envelopesOf } from './envelope.ts'
import { IdColumn } from './id-column.ts'
import { NameColumn } from './name-column.ts'
import type { Mark } from './on-tape.ts'
import { Pages } from './pages.ts'
import type { Said, Step } from './recording.ts'
import { HAS_ID, IS_OWN, IS_OWNED, IS_TRUNCATED, type SaidFacts, SaidOnTape } from './said-on-tape.ts'
import { NONE } from './shared-strings.ts'
import { SourceRows } from './source-rows.ts'
import type { TapeSource } from './tape-source.ts'

/** Steps by their rows. */
export interface StepRows {
  at(row: number): Step
}

const MAX_METHODS = 10_000

/** All that servers said on the tapes of a recording but their answers: a row for each, as of steps. */
export class SaidTable {
  rows = 0
  readonly steps: StepRows
  readonly order = uint32s()
  readonly index = uint32s()
  readonly facts = uint16s()
  /** Rows plus one: of the request that it names, */
  readonly names = uint32s()
  /** and of the client's answer. */
  readonly answer = uint32s()
  readonly ids = new IdColumn()
  readonly methods = new NameColumn(uint16s(), MAX_METHODS)
  /** What came before anything was done, by the number of the conversation. */
  readonly before = new Chains()
  conversations = 0
  /** The row plus one of the next in the same list. */
  readonly #next = uint32s()
  readonly #sources = new SourceRows()
  readonly #pages = new Pages<SaidOnTape>((row, page) => new SaidOnTape(this, row, page))

  constructor(steps: StepRows) {
    this.steps = steps
  }

  add({ order, source, index }: Mark, facts: SaidFacts): SaidOnTape {
    const row = this.rows++
    this.#sources.add(row, source)
    this.order.set(row, order)
    this.index.set(row, index)
    this.methods.set(row, facts.method)
    const { id, names } = facts
    if (id !== undefined) this.ids.set(row, id)
    if (names !== undefined) this.names.set(row, names + 1)
    this.facts.set(
      row,
      (facts.owned ? IS_OWNED : 0) |
        (facts.own ? IS_OWN : 0) |
        (facts.truncated ? IS_TRUNCATED : 0) |
        (id === undefined ? 0 : HAS_ID)
    )
    return new SaidOnTape(this, row, undefined, id)
  }

  at(row: number): SaidOnTape {
    return this.#pages.at(row)
  }

  sourceOf(row: number): TapeSource {
    return this.#sources.of(row)
  }

  envelopeOf(row: number): Envelope | undefined {
    return envelopesOf(this.sourceOf(row).textOf(this.index.get(row)), 1)[0]
  }

  /** Puts one that is in no list behind all of a list. */
  append(row: number, { chains, list }: Chain): void {
    const last = chains.last.get(list)
    if (last === 0) chains.first.set(list, row + 1)
    else this.#next.set(last - 1, row + 1)
    chains.last.set(list, row + 1)
    this.#next.set(row, 0)
  }

  /** All of a list, which is empty afterwards. */
  take({ chains, list }: Chain): Uint32Array {
    const rows = Uint32Array.from(this.rowsOf({ chains, list }))
    chains.first.set(list, 0)
    chains.last.set(list, 0)
    return rows
  }

  sort(chain: Chain): void {
    for (const row of this.inOrder(this.take(chain))) this.append(row, chain)
  }

  inOrder(rows: Uint32Array): Uint32Array {
    return rows.sort((a, b) => this.order.get(a) - this.order.get(b))
  }

  *rowsOf({ chains, list }: Chain): Generator<number, void, void> {
    for (let row = chains.first.get(list); row > 0; row = this.#next.get(row - 1)) yield row - 1
  }

  /** One after the other, for those who keep none of them. */
  *glimpses(chain: Chain): Generator<SaidOnTape, void, void> {
    for (const row of this.rowsOf(chain)) yield new SaidOnTape(this, row)
  }

  listOf(chain: Chain): readonly Said[] {
    return chain.chains.isEmpty(chain.list) ? NONE : Array.from(this.rowsOf(chain), row => this.at(row))
  }
}
