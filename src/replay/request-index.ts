import type { Era } from '../protocol/versions.ts'
import { subjectOf } from './asked.ts'
import { Bits } from './bits.ts'
import { type Bucket, type Buckets, BucketsBuilder } from './buckets.ts'
import { canonicalKey, parseJson, type View } from './canonical.ts'
import { type Gap, Gaps, gapFinder } from './gaps.ts'
import type { AskedMessage, MatcherOptions } from './matching.ts'
import type { Conversation, RecordedRequest } from './recording.ts'
import { isRefusedUnread } from './refused-unread.ts'
import { RequestList } from './request-list.ts'
import { RequestViews } from './request-view.ts'
import { isObject } from './values.ts'

/** They match whatever their parameters, and as often as clients ask. */
export const NEVER_RUN_OUT: ReadonlySet<string> = new Set(['initialize', 'ping', 'server/discover'])

/** Of a method, and of each of its names, so many are compared with what missed. */
const MAX_ALIKE = 200
/** Methods and names that are told apart in messages about misses. */
const MAX_NAMES = 100_000
/** Requests that are remembered as they are written, and how long each may be, in characters. */
const MAX_LATELY = 1024
const MAX_LATELY_TEXT = 4096

/** All requests of some conversations, one conversation after the other, and where equal ones stand. */
export class RequestIndex {
  readonly all: RequestList
  readonly #mode: MatcherOptions['mode']
  readonly #views: RequestViews
  readonly #buckets: Buckets
  /** Positions of those of which nothing else is known than how they were refused unread. */
  readonly #unread = new Bits()
  readonly #unreadOrders = new Bits()
  readonly #gaps = new Gaps()
  readonly #methods = new Map<string, Alike>()
  /** Clients ask for few things, again and again: what is written the same need not be read anew. */
  readonly #lately = new Map<string, Bucket>()
  #names = 0

  constructor(conversations: readonly Conversation[], { mode, rules }: MatcherOptions) {
    this.#mode = mode
    this.#views = new RequestViews(rules)
    const buckets = new BucketsBuilder()
    this.all = new RequestList(conversations, (request, position, { era }) =>
      this.#add(buckets, request, position, era)
    )
    this.#buckets = buckets.build(this.all.length, mode === 'strict')
  }

  #add(buckets: BucketsBuilder, request: RecordedRequest, position: number, era: Era): void {
    const params = paramsOf(request)
    const name = params === UNREADABLE ? request.subject : subjectOf(params)
    this.#addAlike(request.method, name, position)
    if (params === UNREADABLE) return
    const views = this.viewsOf(request.method, name)
    const key = this.#keyOf(request.method, this.#counted(request.method, params, name), views)
    if (isRefusedUnread(request, era)) {
      this.#unread.add(position)
      this.#unreadOrders.add(request.order)
      return buckets.put(refused(key), position)
    }
    buckets.put(key, position)
    const open = this.#unanswered(params)
    if (open !== undefined) buckets.putAlternative(this.#keyOf(unanswered(request.method), open, views), position)
  }

  /** The key that a recorded request has, whose gaps are remembered. */
  #keyOf(method: string, counted: unknown, views: readonly View[]): string {
    const gaps: Gap[] = []
    const key = canonicalKey(method, counted, { views, onText: gapFinder(gaps) })
    if (gaps.length > 0) this.#gaps.add(method, gaps)
    return key
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
  bucketOf(message: AskedMessage): Bucket | undefined {
    const { method, text } = message
    if (text === undefined || text.length > MAX_LATELY_TEXT) return this.#bucketOf(method, message.params)
    const written = `${method.length} ${method}${text}`
    const lately = this.#lately.get(written)
    if (lately) return lately
    const bucket = this.#bucketOf(method, message.params)
    if (!bucket) return undefined
    if (this.#lately.size >= MAX_LATELY) this.#lately.clear()
    this.#lately.set(written, bucket)
    return bucket
  }

  #bucketOf(method: string, params: unknown): Bucket | undefined {
    const keys = this.keysOf(method, params)
    return this.#firstOf(keys) ?? (this.#unread.size > 0 ? this.#firstOf(keys.map(refused)) : undefined)
  }

  /** The recordings of a request that answers the server's questions otherwise, and is equal in all else. */
  unansweredBucketOf(method: string, params: unknown): Bucket | undefined {
    return this.#firstOf(this.unansweredKeysOf(method, params))
  }

  /** A number that all requests have which get the same recordings; undefined: there are none. */
  kindOf(message: AskedMessage): number | undefined {
    return (this.bucketOf(message) ?? this.unansweredBucketOf(message.method, message.params))?.id
  }

  #firstOf(keys: readonly string[]): Bucket | undefined {
    for (const key of keys) {
      const bucket = this.#buckets.get(key)
      if (bucket) return bucket
    }
    return undefined
  }

  /** The numbers of those keys that recorded requests have. */
  idsOf(keys: readonly string[]): number[] {
    return keys.map(key => this.#buckets.idOf(key)).filter(id => id !== undefined)
  }

  /** The number of a request's key, kept for strict order alone; undefined for those that match nothing there. */
  keyAt(position: number): number | undefined {
    return this.#unread.has(position) ? undefined : this.#buckets.keyAt(position)
  }

  /** The same whatever the client answers, of requests that answer. */
  unansweredKeyAt(position: number): number | undefined {
    return this.#buckets.alternativeAt(position)
  }

  /** Not all that was redacted in requests of this method is known. */
  lacksGaps(method: string): boolean {
    return !this.#gaps.isComplete(method)
  }

  /** What it came in was refused: nobody has to make it again. */
  wasRefusedUnread(request: RecordedRequest): boolean {
    return this.#unreadOrders.has(request.order)
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

/** No key begins so: it is JSON, or a digest. */
function refused(key: string): string {
  return `refused ${key}`
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
