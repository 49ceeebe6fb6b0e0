import type { Conversation, RecordedRequest } from '../replay/recording.ts'
import { LISTS } from './drift.ts'
import { valueAt } from './leaves.ts'
import { answerOf, jsonOf, type Plan, type Spoken } from './plan.ts'

/** One element of a list. */
export interface Listed {
  readonly item: unknown
  /** In its page. */
  readonly index: number
  /** Which asked for it when it was recorded. */
  readonly request?: RecordedRequest
}

/** A list as one client was told it, page by page, and as the server tells it now. */
export class Listing {
  readonly method: string
  /** Its pages as they were asked for. */
  readonly requests: RecordedRequest[] = []
  /** Those that brought elements. */
  readonly #brought = new Set<RecordedRequest>()
  /** Nothing stands before its first page. */
  readonly #isFromStart: boolean
  #next: string | undefined
  readonly #live: unknown[] = []
  readonly #answered = new Set<RecordedRequest>()
  #isLiveWhole = false
  /** Why the rest is not known, and at which request that was found. */
  trouble: { readonly at: RecordedRequest; readonly why: string } | undefined

  constructor(method: string, isFromStart: boolean) {
    this.method = method
    this.#isFromStart = isFromStart
  }

  /** The cursor of the page that its client had not asked for yet. */
  get next(): string | undefined {
    return this.#next
  }

  recorded(request: RecordedRequest): void {
    const answer = answerOf(request)
    this.requests.push(request)
    this.#next = nextOf(answer)
    if (itemsOf(this.method, answer)) this.#brought.add(request)
  }

  /** A live answer: to one of its requests, or to one for a page more. */
  answered(live: unknown, request?: RecordedRequest): void {
    if (itemsOf(this.method, live) === undefined) return
    this.#live.push(live)
    if (request) this.#answered.add(request)
    if (nextOf(live) === undefined) this.#isLiveWhole = true
  }

  get isAnswered(): boolean {
    return this.#live.length > 0
  }

  /** Its client had seen all of it. */
  get isWhole(): boolean {
    return this.#isFromStart && this.#next === undefined && this.requests.every(r => this.#brought.has(r))
  }

  /** What is missing now is on no page that was not seen, though its client had seen it. */
  get isLiveKnown(): boolean {
    if (this.#isLiveWhole) return true
    return this.trouble === undefined && [...this.#brought].every(r => this.#answered.has(r))
  }

  get before(): Listed[] {
    return [...this.#brought].flatMap(request => numbered(itemsOf(this.method, answerOf(request)), request))
  }

  get after(): Listed[] {
    return this.#live.flatMap(page => numbered(itemsOf(this.method, page)))
  }

  /** Everything that its client was told is on the pages that were seen by now. */
  get hasAll(): boolean {
    const { key } = LISTS.get(this.method)!
    const names = new Set(this.after.map(({ item }) => valueAt(item, [key])))
    return this.before.every(({ item }) => names.has(valueAt(item, [key])))
  }
}

/** Which list each request of a plan asks for. Pages follow one another by the cursors that their answers gave. */
export function listingsOf({ acts }: Plan): Map<RecordedRequest, Listing> {
  const found = new Map<RecordedRequest, Listing>()
  const open = new Map<Conversation, Listing[]>()
  for (const { conversation, step } of acts) {
    if (step.kind !== 'request' || !LISTS.has(step.method)) continue
    const unfinished = open.get(conversation) ?? []
    const cursor = cursorOf(step)
    const goesOn = (l: Listing): boolean => l.method === step.method && l.next === cursor
    const listing = unfinished.find(goesOn) ?? new Listing(step.method, cursor === undefined)
    listing.recorded(step)
    found.set(step, listing)
    const others = unfinished.filter(l => l !== listing)
    open.set(conversation, listing.next === undefined ? others : [...others, listing])
  }
  return found
}

/** The last of its requests that is sent: behind it stand only pages that nobody asked for. */
export function isLastSent(listing: Listing, request: RecordedRequest, skipped: ReadonlyMap<Spoken, string>): boolean {
  return listing.requests.findLast(r => !skipped.has(r)) === request
}

export function cursorOf(request: RecordedRequest): unknown {
  return valueAt(jsonOf(request), ['params', 'cursor'])
}

/** Some servers write `null` where no page follows. */
export function nextOf(answer: unknown): string | undefined {
  const next = valueAt(answer, ['result', 'nextCursor'])
  return typeof next === 'string' ? next : undefined
}

function itemsOf(method: string, answer: unknown): readonly unknown[] | undefined {
  const items = valueAt(answer, ['result', LISTS.get(method)!.items])
  return Array.isArray(items) ? items : undefined
}

function numbered(items: readonly unknown[] | undefined, request?: RecordedRequest): Listed[] {
  return (items ?? []).map((item, index) => ({ item, index, ...(request && { request }) }))
}
