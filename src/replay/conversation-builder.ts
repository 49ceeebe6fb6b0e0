import { type Era, eraOf } from '../protocol/versions.ts'
import type { Conversation, Said } from './recording.ts'
import { NONE, ownText } from './shared-strings.ts'
import type { StepOn } from './steps.ts'

/** Versions that requests of one conversation name: more are somebody's game. */
const MAX_VERSIONS = 100

export class ConversationBuilder implements Conversation {
  readonly era: Era
  readonly session: string | undefined
  steps: StepOn[] = []
  before: readonly Said[] = NONE
  /** The server gave no session to the client that had asked for this one. */
  unassigned = false
  #negotiated: string | undefined
  #named: Map<string, number> | undefined
  #accepted: Set<string> | undefined

  constructor(era: Era, session: string | undefined) {
    this.era = era
    this.session = session
  }

  get version(): string | undefined {
    if (!this.#named) return this.#negotiated
    return [...this.#named].reduce((a, b) => (b[1] > a[1] ? b : a))[0]
  }

  get versions(): readonly string[] {
    if (this.#accepted) return [...this.#accepted].sort()
    return this.#negotiated === undefined ? NONE : [this.#negotiated]
  }

  addBefore(said: Said): void {
    this.#before().push(said)
  }

  /** Puts each behind the step that it came after, where that was not known at once. */
  insert(said: readonly Said[]): void {
    const touched = new Set<Said[]>()
    for (const one of said) {
      const step = this.#lastBefore(one.order)
      const list = step ? step.listFor(one.order) : this.#before()
      list.push(one)
      touched.add(list)
    }
    for (const list of touched) list.sort(byOrder)
  }

  #before(): Said[] {
    if (this.before === NONE) this.before = []
    return this.before as Said[]
  }

  #lastBefore(order: number): StepOn | undefined {
    let from = 0
    let to = this.steps.length
    while (from < to) {
      const middle = (from + to) >>> 1
      if (this.steps[middle]!.order < order) from = middle + 1
      else to = middle
    }
    return this.steps[from - 1]
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

  /** What another part of the same conversation holds. */
  join(other: ConversationBuilder): void {
    for (const step of other.steps) this.steps.push(step)
    this.steps.sort(byOrder)
    const before = [...this.before, ...other.before]
    this.before = NONE
    this.insert(before)
    this.#negotiated ??= other.#negotiated
    for (const [version, count] of other.#named ?? []) {
      this.#named ??= new Map()
      this.#named.set(version, (this.#named.get(version) ?? 0) + count)
    }
    for (const version of other.#accepted ?? []) this.accepted(version)
  }
}

function byOrder(a: { readonly order: number }, b: { readonly order: number }): number {
  return a.order - b.order
}
