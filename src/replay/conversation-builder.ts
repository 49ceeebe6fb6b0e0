import { type Era, eraOf } from '../protocol/versions.ts'
import type { Chain, Chains } from './chains.ts'
import type { Conversation, Said, Step } from './recording.ts'
import type { SaidOnTape } from './said-on-tape.ts'
import { NONE, ownText } from './shared-strings.ts'
import type { StepTable } from './step-table.ts'
import type { StepOn } from './steps.ts'

/** Versions that requests of one conversation name: more are somebody's game. */
const MAX_VERSIONS = 100

export class ConversationBuilder implements Conversation {
  readonly era: Era
  readonly session: string | undefined
  added = false
  /** The server gave no session to the client that had asked for this one. */
  unassigned = false
  readonly table: StepTable
  /** Rows plus one of its first and last step; 0: it has none. */
  #first = 0
  #last = 0
  readonly beforeList: Chain
  #steps: WeakRef<readonly StepOn[]> | undefined
  #negotiated: string | undefined
  #named: Map<string, number> | undefined
  #accepted: Set<string> | undefined

  constructor(table: StepTable, era: Era, session: string | undefined) {
    this.table = table
    this.beforeList = { chains: table.sayings.before, list: table.sayings.conversations++ }
    this.era = era
    this.session = session
  }

  /** Made when it is asked for: long conversations are better gone through by `rows`. */
  get steps(): readonly Step[] {
    let steps = this.#steps?.deref()
    if (!steps) {
      steps = Array.from(this.rows(), row => this.table.at(row))
      this.#steps = new WeakRef(steps)
    }
    return steps
  }

  /** The rows of its steps, in order. */
  *rows(): Generator<number, void, void> {
    const { next } = this.table
    for (let row = this.#first; row > 0; row = next.get(row - 1)) yield row - 1
  }

  /** Of all that happened in it; infinite where nothing did. */
  get firstOrder(): number {
    const done = this.#first === 0 ? Number.POSITIVE_INFINITY : this.table.order.get(this.#first - 1)
    for (const { order } of this.table.sayings.glimpses(this.beforeList)) return Math.min(done, order)
    return done
  }

  add({ row }: StepOn): void {
    this.#link(row)
    this.table.next.set(row, 0)
    this.#steps = undefined
  }

  #link(row: number): void {
    if (this.#last === 0) this.#first = row + 1
    else this.table.next.set(this.#last - 1, row + 1)
    this.#last = row + 1
  }

  get version(): string | undefined {
    if (!this.#named) return this.#negotiated
    return [...this.#named].reduce((a, b) => (b[1] > a[1] ? b : a))[0]
  }

  get versions(): readonly string[] {
    if (this.#accepted) return [...this.#accepted].sort()
    return this.#negotiated === undefined ? NONE : [this.#negotiated]
  }

  get before(): readonly Said[] {
    return this.table.sayings.listOf(this.beforeList)
  }

  addBefore({ row }: SaidOnTape): void {
    this.table.sayings.append(row, this.beforeList)
  }

  /** Puts each behind the step that it came after, where that was not known at once. By rows, which are in no list yet. */
  insert(said: Uint32Array): void {
    const { sayings } = this.table
    const touched = new Map<Chains, Map<number, Chain>>()
    let rows: Uint32Array | undefined
    for (const one of said) {
      const order = sayings.order.get(one)
      if (!this.#isBehindAll(order)) rows ??= Uint32Array.from(this.rows())
      const row = rows ? this.#lastBefore(rows, order) : this.#last - 1
      const chain = row === undefined ? this.beforeList : this.table.glimpse(row).listFor(order)
      sayings.append(one, chain)
      const lists = touched.get(chain.chains)
      if (lists) lists.set(chain.list, chain)
      else touched.set(chain.chains, new Map([[chain.list, chain]]))
    }
    for (const lists of touched.values()) for (const chain of lists.values()) sayings.sort(chain)
  }

  /** As what has just been said mostly is. */
  #isBehindAll(order: number): boolean {
    return this.#last > 0 && this.table.order.get(this.#last - 1) < order
  }

  #lastBefore(rows: Uint32Array, order: number): number | undefined {
    let from = 0
    let to = rows.length
    while (from < to) {
      const middle = (from + to) >>> 1
      if (this.table.order.get(rows[middle]!) < order) from = middle + 1
      else to = middle
    }
    return rows[from - 1]
  }

  /** What the server chose in its answer to `initialize`. */
  negotiated(version: string | undefined): void {
    if (version !== undefined && eraOf(version) !== undefined) this.#negotiated = ownText(version)
  }

  /** A request named it; returns it for when the answer is known. */
  named(version: string): void {
    this.#named ??= new Map()
    const count = this.#named.get(version)
    if (count !== undefined || this.#named.size < MAX_VERSIONS) this.#named.set(version, (count ?? 0) + 1)
  }

  accepted(version: string): void {
    this.#accepted ??= new Set()
    if (this.#accepted.size < MAX_VERSIONS) this.#accepted.add(version)
  }

  /** What other parts of the same conversation hold. */
  join(others: readonly ConversationBuilder[]): void {
    const parts = [this, ...others]
    const rows = Uint32Array.from(parts.flatMap(part => [...part.rows()]))
    const { order } = this.table
    rows.sort((a, b) => order.get(a) - order.get(b))
    this.#first = this.#last = 0
    for (const row of rows) this.#link(row)
    if (this.#last > 0) this.table.next.set(this.#last - 1, 0)
    this.#steps = undefined
    this.insert(Uint32Array.from(parts.flatMap(part => [...this.table.sayings.take(part.beforeList)])))
    for (const other of others) this.#joinVersions(other)
  }

  #joinVersions(other: ConversationBuilder): void {
    this.#negotiated ??= other.#negotiated
    for (const [version, count] of other.#named ?? []) {
      this.#named ??= new Map()
      this.#named.set(version, (this.#named.get(version) ?? 0) + count)
    }
    for (const version of other.#accepted ?? []) this.accepted(version)
  }
}
