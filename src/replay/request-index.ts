import type { Era } from '../protocol/versions.ts'
import { subjectOf } from './asked.ts'
import { canonicalKey, parseJson, type View } from './canonical.ts'
import { type Gap, Gaps, gapFinder } from './gaps.ts'
import type { MatcherOptions } from './matching.ts'
import type { Conversation, RecordedRequest } from './recording.ts'
import { addedSessions } from './refused-beginnings.ts'
import { isRefusedUnread } from './refused-unread.ts'
import { RequestViews } from './request-view.ts'
import { isObject } from './values.ts'

/** Positions of equal requests, in order. */
export type Bucket = readonly number[]

/** They match whatever their parameters, and as often as clients ask. */
export const NEVER_RUN_OUT: ReadonlySet<string> = new Set(['initialize', 'ping', 'server/discover'])

/** Of a method, and of each of its names, so many are compared with what missed. */
const MAX_ALIKE = 200
/** Methods and names that are told apart in messages about misses. */
const MAX_NAMES = 100_000

/** All requests of some conversations, one conversation after the other, and where equal ones stand. */
export class RequestIndex {
  readonly all: readonly RecordedRequest[]
  /** Each request's key, kept for strict order alone; undefined for those that match nothing there. */
  readonly keys: readonly (string | undefined)[]
  /** The same whatever the client answers, of requests that answer. */
  readonly unansweredKeys: Map<number, string> = new Map()
  /** Numbers that tell conversations apart, for each request. */
  readonly conversationOf: readonly number[]
  readonly #mode: MatcherOptions['mode']
  readonly #views: RequestViews
  readonly #ranges = new Map<Conversation, readonly [number, number]>()
  readonly #buckets = new Map<string, number[]>()
  /** Where nothing else is known of a request than how it was refused unread. */
  readonly #refused = new Map<string, number[]>()
  readonly #unread = new Set<RecordedRequest>()
  readonly #gaps = new Gaps()
  readonly #methods = new Map<string, Alike>()
  #names = 0

  constructor(conversations: readonly Conversation[], { mode, rules }: MatcherOptions) {
    this.#mode = mode
    this.#views = new RequestViews(rules)
    const all: RecordedRequest[] = []
    const keys: (string | undefined)[] = []
    const conversationOf: number[] = []
    const added = addedSessions(conversations)
    for (const conversation of conversations) {
      const from = all.length
      const isAdded = added.has(conversation)
      for (const step of conversation.steps) {
        if (step.kind !== 'request' || (isAdded && step.own)) continue
        const key = this.#add(step, all.length, conversation.era)
        if (mode === 'strict') {
          keys.push(key)
          conversationOf.push(this.#ranges.size)
        }
        all.push(step)
      }
      this.#ranges.set(conversation, [from, all.length])
    }
    this.all = all
    this.keys = keys
    this.conversationOf = conversationOf
  }

  /** Undefined for a conversation that is none of these. */
  rangeOf(conversation: Conversation): readonly [number, number] | undefined {
    return this.#ranges.get(conversation)
  }

  #add(request: RecordedRequest, position: number, era: Era): string | undefined {
    const params = paramsOf(request)
    const name = params === UNREADABLE ? request.subject : subjectOf(params)
    this.#addAlike(request.method, name, position)
    if (params === UNREADABLE) return undefined
    const views = this.viewsOf(request.method, name)
    const key = this.#keyOf(request.method, this.#counted(request.method, params, name), views)
    const refused = isRefusedUnread(request, era)
    if (refused) this.#unread.add(request)
    put(refused ? this.#refused : this.#buckets, key, position)
    const open = refused ? undefined : this.#unanswered(params)
    if (open !== undefined) this.#putUnanswered(this.#keyOf(unanswered(request.method), open, views), position)
    return refused ? undefined : key
  }

  /** The key that a recorded request has, whose gaps are remembered. */
  #keyOf(method: string, counted: unknown, views: readonly View[]): string {
    const gaps: Gap[] = []
    const key = canonicalKey(method, counted, { views, onText: gapFinder(gaps) })
    if (gaps.length > 0) this.#gaps.add(method, gaps)
    return key
  }

  #putUnanswered(key: string, position: number): void {
    put(this.#buckets, key, position)
    if (this.#mode === 'strict') this.unansweredKeys.set(position, key)
  }

  #addAlike(method: string, name: string | undefined, position: number): void {
    let alike = this.#methods.get(method)
    if (!alike) {
      if (this.#names >= MAX_NAMES) return
      this.#names++
      this.#methods.set(method, (alike = { positions: [], names: new Map() }))
    }
    if (alike.positions.length < MAX_ALIKE) alike.positions.push(position)
    if (name === undefined) return
    const named = alike.names.get(name)
    if (named && named.length < MAX_ALIKE) named.push(position)
    if (named || this.#names >= MAX_NAMES) return
    this.#names++
    alike.names.set(name, [position])
  }

  /** What of the parameters decides. */
  #counted(method: string, params: unknown, name: string | undefined): unknown {
    if (NEVER_RUN_OUT.has(method)) return undefined
    return this.#mode === 'method' ? { name } : params
  }

  /** Parameters without what the client answers to the server's questions; undefined where it answers none. */
  #unanswered(params: unknown): unknown {
    if (this.#mode === 'method' || !isObject(params) || !Object.hasOwn(params, ANSWERS)) return undefined
    return Object.fromEntries(Object.entries(params).filter(([key]) => key !== ANSWERS))
  }

  /**
   * The keys that a request may have on the tape: its own, and those of requests that lost secrets where it has values. The less
   * of it stands where secrets stood, the earlier.
   */
  keysOf(method: string, params: unknown): string[] {
    const name = subjectOf(params)
    return this.#keysOf(method, this.#counted(method, params, name), this.viewsOf(method, name))
  }

  /** The same, whatever the client answers; none where it does not answer. */
  unansweredKeysOf(method: string, params: unknown): string[] {
    const open = this.#unanswered(params)
    if (open === undefined) return []
    return this.#keysOf(unanswered(method), open, this.viewsOf(method, subjectOf(params)))
  }

  #keysOf(method: string, counted: unknown, views: readonly View[]): string[] {
    const keys = [canonicalKey(method, counted, { views })]
    for (const view of this.#gaps.viewsFor(method, counted)) {
      // The gap's view is asked first: a rule need not match the mark that stands on the tape.
      const key = canonicalKey(method, counted, { views: [view, ...views] })
      if (!keys.includes(key)) keys.push(key)
    }
    return keys
  }

  /** The recordings of such a request. Of several that it may be, those that are most like it. */
  bucketOf(method: string, params: unknown): Bucket | undefined {
    const keys = this.keysOf(method, params)
    return firstOf(this.#buckets, keys) ?? firstOf(this.#refused, keys)
  }

  /** The recordings of a request that answers the server's questions otherwise, and is equal in all else. */
  unansweredBucketOf(method: string, params: unknown): Bucket | undefined {
    return firstOf(this.#buckets, this.unansweredKeysOf(method, params))
  }

  /** Not all that was redacted in requests of this method is known. */
  lacksGaps(method: string): boolean {
    return !this.#gaps.isComplete(method)
  }

  /** What it came in was refused: nobody has to make it again. */
  wasRefusedUnread(request: RecordedRequest): boolean {
    return this.#unread.has(request)
  }

  /** The first recorded requests of this method, and name if one is given. */
  alike(method: string, name?: string): readonly number[] {
    const alike = this.#methods.get(method)
    return (name === undefined ? alike?.positions : alike?.names.get(name)) ?? []
  }

  /** What the rules say of a request. */
  viewsOf(method: string, name: string | undefined): readonly View[] {
    return this.#mode === 'method' ? [] : this.#views.of(method, name)
  }

  get methods(): string[] {
    return [...this.#methods.keys()]
  }

  /** The first names of a method, and how many there are. */
  namesOf(method: string, limit: number): { readonly first: string[]; readonly count: number } {
    const first: string[] = []
    const names = this.#methods.get(method)?.names
    for (const name of names?.keys() ?? []) {
      if (first.length === limit) break
      first.push(name)
    }
    return { first, count: names?.size ?? 0 }
  }
}

/** The first positions of a method, and of each of its names. */
interface Alike {
  readonly positions: number[]
  readonly names: Map<string, number[]>
}

/** What a client answers to an answer that asks (spec 2026-07-28 basic/patterns/mrtr). */
const ANSWERS = 'inputResponses'

/** No method is called so: requests with and without their answers are told apart by it. */
function unanswered(method: string): string {
  return `${method}\n`
}

function put(buckets: Map<string, number[]>, key: string, position: number): void {
  const bucket = buckets.get(key)
  if (bucket) bucket.push(position)
  else buckets.set(key, [position])
}

function firstOf(buckets: ReadonlyMap<string, Bucket>, keys: readonly string[]): Bucket | undefined {
  for (const key of keys) {
    const bucket = buckets.get(key)
    if (bucket) return bucket
  }
  return undefined
}

const UNREADABLE = Symbol('unreadable')

/** The parameters of a recorded request; UNREADABLE where only its beginning is there, or it cannot be read for other reasons. */
function paramsOf({ truncated, text }: RecordedRequest): unknown {
  if (truncated) return UNREADABLE
  try {
    const message = parseJson(text.get())
    if (typeof message !== 'object' || message === null) return UNREADABLE
    return (message as { readonly params?: unknown }).params
  } catch (error) {
    if (error instanceof SyntaxError) return UNREADABLE
    throw error
  }
}

/** The same, undefined where they cannot be had. */
export function recordedParams(request: RecordedRequest): unknown {
  const params = paramsOf(request)
  return params === UNREADABLE ? undefined : params
}
