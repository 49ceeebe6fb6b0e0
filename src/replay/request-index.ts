import type { Era } from '../protocol/versions.ts'
import { subjectOf } from './asked.ts'
import { canonicalKey, parseJson, type View } from './canonical.ts'
import type { MatcherOptions } from './matching.ts'
import type { Conversation, RecordedRequest } from './recording.ts'
import { isRefusedUnread } from './refused-unread.ts'
import { type Gap, gapFinder, RequestViews, viewOfGaps } from './request-view.ts'

/** Positions of equal requests, in order. */
export type Bucket = readonly number[]

/** They match whatever their parameters, and as often as clients ask. */
export const NEVER_RUN_OUT: ReadonlySet<string> = new Set(['initialize', 'ping', 'server/discover'])

/** Of a method, and of each of its names, so many are compared with what missed. */
const MAX_ALIKE = 200
/** Ways in which requests of one method were redacted: each is looked up by itself. */
const MAX_GAP_VIEWS = 64
/** Methods and names that are told apart in messages about misses. */
const MAX_NAMES = 100_000

/** All requests of some conversations, one conversation after the other, and where equal ones stand. */
export class RequestIndex {
  readonly all: readonly RecordedRequest[]
  /** Each request's key, kept for strict order alone; undefined for those that match nothing there. */
  readonly keys: readonly (string | undefined)[]
  /** Numbers that tell conversations apart, for each request. */
  readonly conversationOf: readonly number[]
  readonly #mode: MatcherOptions['mode']
  readonly #views: RequestViews
  readonly #ranges = new Map<Conversation, readonly [number, number]>()
  readonly #buckets = new Map<string, number[]>()
  /** Where nothing else is known of a request than how it was refused unread. */
  readonly #refused = new Map<string, number[]>()
  readonly #unread = new Set<RecordedRequest>()
  readonly #gaps = new Map<string, Map<string, View>>()
  readonly #alike = new Map<string, number[]>()

  constructor(conversations: readonly Conversation[], { mode, rules }: MatcherOptions) {
    this.#mode = mode
    this.#views = new RequestViews(rules)
    const all: RecordedRequest[] = []
    const keys: (string | undefined)[] = []
    const conversationOf: number[] = []
    for (const conversation of conversations) {
      const from = all.length
      for (const step of conversation.steps) {
        if (step.kind !== 'request') continue
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
    this.#addAlike(alikeKey(request.method), position)
    if (name !== undefined) this.#addAlike(alikeKey(request.method, name), position)
    if (params === UNREADABLE) return undefined
    const gaps: Gap[] = []
    const views = this.viewsOf(request.method, name)
    const key = canonicalKey(request.method, this.#counted(request.method, params, name), {
      views,
      onText: gapFinder(gaps)
    })
    if (gaps.length > 0) this.#addGaps(request.method, gaps)
    const refused = isRefusedUnread(request, era)
    if (refused) this.#unread.add(request)
    const buckets = refused ? this.#refused : this.#buckets
    const bucket = buckets.get(key)
    if (bucket) bucket.push(position)
    else buckets.set(key, [position])
    return refused ? undefined : key
  }

  #addGaps(method: string, gaps: readonly Gap[]): void {
    const shape = JSON.stringify(gaps)
    let known = this.#gaps.get(method)
    if (!known) this.#gaps.set(method, (known = new Map()))
    if (known.size < MAX_GAP_VIEWS && !known.has(shape)) known.set(shape, viewOfGaps(gaps))
  }

  #addAlike(key: string, position: number): void {
    const list = this.#alike.get(key)
    if (!list && this.#alike.size < MAX_NAMES) this.#alike.set(key, [position])
    else if (list && list.length < MAX_ALIKE) list.push(position)
  }

  /** What of the parameters decides. */
  #counted(method: string, params: unknown, name: string | undefined): unknown {
    if (NEVER_RUN_OUT.has(method)) return undefined
    return this.#mode === 'method' ? { name } : params
  }

  /** The keys that a request may have on the tape: its own, and those of requests that lost secrets where it has values. */
  keysOf(method: string, params: unknown): string[] {
    const name = subjectOf(params)
    const counted = this.#counted(method, params, name)
    const views = this.viewsOf(method, name)
    const keys = [canonicalKey(method, counted, { views })]
    const gaps = this.#gaps.get(method)
    if (gaps)
      for (const view of gaps.values()) {
        // The gap's view is asked first: a rule need not match the mark that stands on the tape.
        const key = canonicalKey(method, counted, { views: [view, ...views] })
        if (!keys.includes(key)) keys.push(key)
      }
    return keys
  }

  bucketsOf(method: string, params: unknown): Bucket[] {
    const keys = this.keysOf(method, params)
    const known = keys.map(key => this.#buckets.get(key)).filter(bucket => bucket !== undefined)
    if (known.length > 0 || this.#refused.size === 0) return known
    return keys.map(key => this.#refused.get(key)).filter(bucket => bucket !== undefined)
  }

  /** What it came in was refused: nobody has to make it again. */
  wasRefusedUnread(request: RecordedRequest): boolean {
    return this.#unread.has(request)
  }

  /** The first recorded requests of this method, and name if one is given. */
  alike(method: string, name?: string): readonly number[] {
    return this.#alike.get(alikeKey(method, name)) ?? []
  }

  /** What the rules say of a request. */
  viewsOf(method: string, name: string | undefined): readonly View[] {
    return this.#mode === 'method' ? [] : this.#views.of(method, name)
  }

  get methods(): string[] {
    return [...new Set([...this.#alike.keys()].filter(isMethodKey))]
  }

  namesOf(method: string): string[] {
    const start = `${method}\n`
    return [...this.#alike.keys()].filter(key => key.startsWith(start)).map(key => key.slice(start.length))
  }
}

function alikeKey(method: string, name?: string): string {
  return name === undefined ? method : `${method}\n${name}`
}

function isMethodKey(key: string): boolean {
  return !key.includes('\n')
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
