import { type AskedRequest, subjectOf } from './asked.ts'
import { Bits } from './bits.ts'
import type { Bucket } from './buckets.ts'
import { differenceTo, missOf, outOfOrder, usedUp } from './miss.ts'
import type { Conversation, RecordedRequest } from './recording.ts'
import { NEVER_RUN_OUT, RequestIndex } from './request-index.ts'
import type { Rules } from './rules.ts'
import { countBelow } from './sorted.ts'
import { StrictOrder } from './strict-order.ts'

/** `keyed`: by method and parameters, whatever the order. `strict`: the same, in recorded order. `method`: by method and name alone. */
export type MatchMode = 'keyed' | 'strict' | 'method'

/** What equal requests get when each of their recordings was used: the last again, all from the first again, or a miss. */
export type RepeatMode = 'last' | 'cycle' | 'error'

/** Which of the recorded requests one is, or why none. */
export type Match = Hit | { readonly miss: Miss }

export interface Hit {
  readonly request: RecordedRequest
  readonly again: boolean
  /** It is that one but for what the client answers to the server's questions: recorded → asked, as readable lines. */
  readonly otherwise?: readonly string[]
}

export interface Miss {
  /** One sentence, for people. */
  readonly text: string
  readonly closest: RecordedRequest | undefined
  /** Recorded → asked, as readable lines: `params.arguments.path: "/a" → "/b"`. */
  readonly difference: readonly string[]
}

export interface MatcherOptions {
  readonly mode: MatchMode
  readonly repeat: RepeatMode
  readonly rules: Rules
}

export interface AskedMessage {
  readonly method: string
  /** As `parseJson` gives them. Reading them may throw what it throws. */
  readonly params: unknown
  /** The same as they were written, where they were. */
  readonly text?: string
}

/** One for each replay session: what others use up does not count here. */
export interface Cursor {
  match(message: AskedMessage): Match
  /** A number that all requests have which get the same recordings; undefined: there are none. */
  kindOf(message: AskedMessage): number | undefined
  /** How many of the recorded requests it has used. */
  used(): { readonly size: number }
}

/** Finds the recorded request that a request is. Reads all of them once, so that each is found at once, however long the tape. */
export class Matcher {
  readonly #index: RequestIndex
  readonly #options: MatcherOptions
  readonly #used: Uint8Array

  /** Throws TapeError where the tape was changed meanwhile. */
  constructor(conversations: Conversation | readonly Conversation[], options: MatcherOptions) {
    this.#options = options
    this.#index = new RequestIndex([conversations].flat() as readonly Conversation[], options)
    this.#used = new Uint8Array(this.#index.all.length)
  }

  /** Recordings of the preferred conversation come first, then all others in the order of the tape. */
  cursor(prefer?: Conversation): Cursor {
    const onUse = (position: number): void => {
      this.#used[position] = 1
    }
    const { mode, repeat } = this.#options
    const preferred = prefer && this.#index.all.rangeOf(prefer)
    return mode === 'strict'
      ? new StrictCursor(this.#index, repeat, preferred, onUse)
      : new KeyedCursor(this.#index, repeat, preferred, onUse)
  }

  /** What no cursor has used so far, in the order of the tape. */
  get unused(): readonly RecordedRequest[] {
    const { all } = this.#index
    return [...this.#used.keys()]
      .filter(position => this.#used[position] === 0)
      .map(position => all.at(position))
      .filter(request => !this.#index.wasRefusedUnread(request))
  }

  /** Its session, its headers or its revision were refused: who asks well is never answered so. */
  wasRefusedUnread(request: RecordedRequest): boolean {
    return this.#index.wasRefusedUnread(request)
  }
}

/** Positions of a conversation's requests. */
type Range = readonly [from: number, to: number]
type OnUse = (position: number) => void

class KeyedCursor implements Cursor {
  readonly #index: RequestIndex
  readonly #repeat: RepeatMode
  readonly #prefer: Range | undefined
  readonly #onUse: OnUse
  readonly #counts = new Counts()
  readonly #used = new Bits()

  constructor(index: RequestIndex, repeat: RepeatMode, prefer: Range | undefined, onUse: OnUse) {
    this.#index = index
    this.#repeat = repeat
    this.#prefer = prefer
    this.#onUse = onUse
  }

  match(message: AskedMessage): Match {
    const bucket = this.#index.bucketOf(message)
    if (!bucket) return this.#otherwise(askedBy(message)) ?? { miss: missOf(this.#index, askedBy(message)) }
    const count = this.#counts.of(bucket)
    const { length } = bucket.positions
    if (count < length) return this.#take(bucket, count, count, false)
    const repeat = NEVER_RUN_OUT.has(message.method) ? 'last' : this.#repeat
    if (repeat === 'error') return { miss: usedUp(this.#index, askedBy(message), bucket) }
    return this.#take(bucket, repeat === 'last' ? length - 1 : count % length, count, true)
  }

  /** The first that was not used of those that differ in the client's answers alone; else the last. */
  #otherwise(asked: AskedRequest): Match | undefined {
    const bucket = this.#index.unansweredBucketOf(asked.method, asked.params)
    if (!bucket) return undefined
    const { length } = bucket.positions
    let nth = this.#counts.of(bucket)
    while (nth < length && this.#used.has(nthOf(bucket, nth, this.#prefer))) nth++
    this.#counts.set(bucket, nth)
    const again = nth === length
    if (again && this.#repeat === 'error') return { miss: usedUp(this.#index, asked, bucket) }
    const position = nthOf(bucket, again ? nth - 1 : nth, this.#prefer)
    return { request: this.#use(position), again, otherwise: differenceTo(this.#index, position, asked) }
  }

  #take(bucket: Bucket, nth: number, count: number, again: boolean): Match {
    this.#counts.set(bucket, count + 1)
    return { request: this.#use(nthOf(bucket, nth, this.#prefer)), again }
  }

  #use(position: number): RecordedRequest {
    this.#used.add(position)
    this.#onUse(position)
    return this.#index.all.at(position)
  }

  kindOf(message: AskedMessage): number | undefined {
    return this.#index.kindOf(message)
  }

  used(): { readonly size: number } {
    return this.#used
  }
}

/** How often each bucket was used. Most hold one recording: these are counted to one, in a bit. */
class Counts {
  readonly #once = new Bits()
  readonly #many = new Map<number, number>()

  of({ id, positions }: Bucket): number {
    if (positions.length === 1) return this.#once.has(id) ? 1 : 0
    return this.#many.get(id) ?? 0
  }

  set({ id, positions }: Bucket, count: number): void {
    if (positions.length > 1) this.#many.set(id, count)
    else if (count > 0) this.#once.add(id)
  }
}

/** The nth position of a bucket, where those within the range come first. */
function nthOf({ positions }: Bucket, nth: number, prefer: Range | undefined): number {
  if (!prefer || positions.length === 1) return positions[nth]!
  const from = countBelow(positions, prefer[0])
  const preferred = countBelow(positions, prefer[1]) - from
  if (nth < preferred) return positions[from + nth]!
  return positions[nth - preferred < from ? nth - preferred : nth]!
}

class StrictCursor implements Cursor {
  readonly #index: RequestIndex
  readonly #repeat: RepeatMode
  readonly #order: StrictOrder
  readonly #pings: KeyedCursor
  readonly #onUse: OnUse
  readonly #used = new Bits()

  constructor(index: RequestIndex, repeat: RepeatMode, prefer: Range | undefined, onUse: OnUse) {
    this.#index = index
    this.#repeat = repeat
    this.#onUse = onUse
    this.#order = new StrictOrder(index, prefer)
    this.#pings = new KeyedCursor(index, repeat, prefer, position => {
      this.#used.add(position)
      onUse(position)
    })
  }

  match(message: AskedMessage): Match {
    if (message.method === 'ping') return this.#pings.match(message)
    const keys = this.#index.keysOf(message.method, message.params)
    let again = this.#order.laps > 0
    if (this.#order.isAtEnd && this.#repeat === 'cycle') {
      this.#order.restart()
      again = true
    }
    const position = this.#order.take(keys)
    if (position !== undefined) return { request: this.#use(position), again }
    const like = this.#order.takeUnanswered(this.#index.unansweredKeysOf(message.method, message.params))
    if (like === undefined) return this.#other(message)
    const request = this.#use(like)
    return { request, again, otherwise: differenceTo(this.#index, like, askedBy(message)) }
  }

  #use(position: number): RecordedRequest {
    this.#used.add(position)
    this.#onUse(position)
    return this.#index.all.at(position)
  }

  #other(message: AskedMessage): Match {
    const asked = askedBy(message)
    const bucket = this.#index.bucketOf(message)
    if (!bucket) return { miss: missOf(this.#index, asked) }
    if (NEVER_RUN_OUT.has(message.method) || (this.#order.isAtEnd && this.#repeat === 'last'))
      return { request: this.#index.all.at(bucket.positions.at(-1)!), again: true }
    const next = this.#order.next
    if (next === undefined) return { miss: usedUp(this.#index, asked, bucket) }
    return { miss: outOfOrder(this.#index, asked, bucket, this.#index.all.at(next)) }
  }

  kindOf(message: AskedMessage): number | undefined {
    return this.#index.kindOf(message)
  }

  used(): { readonly size: number } {
    return this.#used
  }
}

function askedBy({ method, params }: AskedMessage): AskedRequest {
  return { method, name: subjectOf(params), params }
}
