import { createHash } from 'node:crypto'
import { AnswerRules } from '../replay/answer-rules.ts'
import type { Difference } from '../replay/json-diff.ts'
import type { RecordedRequest } from '../replay/recording.ts'
import type { Rules } from '../replay/rules.ts'
import { type Drift, type DriftChange, driftOf, type IsSame } from './drift.ts'
import { isLastSent, type Listing, listingsOf } from './listings.ts'
import type { Plan, Spoken } from './plan.ts'

/** All that clients were told of what the server offers, list by list: each is compared with what the same requests bring now. */
export class Offers {
  readonly #listings: ReadonlyMap<RecordedRequest, Listing>
  readonly #skipped: ReadonlyMap<Spoken, string>
  /** Live pages by their hash: most clients are told the same, and it is kept once. */
  readonly #pages = new Map<string, unknown>()

  constructor(plan: Plan, skipped: ReadonlyMap<Spoken, string>) {
    this.#listings = listingsOf(plan)
    this.#skipped = skipped
  }

  /** The live answer to a request, as a value. */
  answered(request: RecordedRequest, live: unknown): void {
    this.#listings.get(request)?.answered(this.#kept(live), request)
  }

  /** The list that a request asked for, where the server has more of it than any request of the tape asks for. */
  unfinished(request: RecordedRequest): Listing | undefined {
    const listing = this.#listings.get(request)
    if (!listing || !isLastSent(listing, request, this.#skipped)) return undefined
    // Of a list that its client left before the end, what is new may always have been there.
    return listing.isWhole || !listing.hasAll ? listing : undefined
  }

  furtherPage(listing: Listing, live: unknown): void {
    listing.answered(this.#kept(live))
  }

  /** What kept a list from being seen as a whole, told at the last request for it. */
  troubleAt(request: RecordedRequest): Difference[] {
    const trouble = this.#listings.get(request)?.trouble
    if (trouble?.at !== request) return []
    return [{ path: 'pages', kind: 'changed', old: 'the end of the list', new: trouble.why }]
  }

  /** Of lists that were answered then and now. `isSame`: what counts as equal beside what the rules say. */
  drift(rules: Rules, isSame: IsSame): Drift {
    const answerRules = new AnswerRules(rules)
    // What several clients were told is told once.
    const changes = new Map<string, DriftChange>()
    for (const listing of new Set(this.#listings.values()))
      for (const change of driftOf(listing, answerRules, isSame)) changes.set(JSON.stringify(change), change)
    const all = [...changes.values()]
    return { changes: all, breaking: all.filter(c => c.breaking !== undefined).length }
  }

  #kept(live: unknown): unknown {
    const hash = createHash('sha256').update(JSON.stringify(live)).digest('base64')
    const known = this.#pages.get(hash)
    if (known !== undefined) return known
    this.#pages.set(hash, live)
    return live
  }
}
