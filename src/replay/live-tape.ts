import { idKey } from '../protocol/id.ts'
import type { Message } from '../protocol/message.ts'
import { newHandle } from '../session/new-session.ts'
import type { Frame } from '../tape/frame.ts'
import type { TapeAppender } from './tape-appender.ts'

/** One call that is written down, if it comes to an answer. */
export interface TapedCall {
  said(message: Message): void
  answered(message: Message): void
  /** The client's answer to a question that came with the call. */
  replied(message: Message): void
  /** It has no answer: nothing of it is written, so that the server is asked the next time as well. */
  failed(): void
}

const POST = { method: 'POST', path: '/mcp', headers: ['Content-Type', 'application/json'] }
const JSON_HEAD = { status: 200, headers: ['Content-Type', 'application/json'] }
const SSE_HEAD = { status: 200, headers: ['Content-Type', 'text/event-stream'] }

/** Bytes that wait for what came before them. Beyond, the oldest call without an answer is given up. */
const MAX_HELD = 8 * 1024 * 1024

type Fate = 'unknown' | 'kept' | 'left out'

/** Frames that are written all or not at all. */
interface Group {
  fate: Fate
  readonly idKey?: string
}

/** What goes over one stream. Its name is made when the first of it is written. */
interface Lane {
  readonly kind: 'post' | 'get'
  readonly session: string | undefined
  name?: string
}

type Facts = Pick<Frame, 'kind' | 'dir'> & Partial<Frame>

interface Held {
  readonly group: Group
  readonly lane: Lane
  readonly facts: Facts
  readonly time: number
}

/**
 * Writes down what one replay session and the real server say, as a session of its own on the tape: as a client over HTTP would have
 * had it, which says of each message whose it is. It is written in the order in which it was said, as soon as it is known that the
 * calls before it were answered.
 */
export class LiveTape {
  readonly #appender: TapeAppender
  readonly #session = newHandle()
  readonly #held: Held[] = []
  #heldBytes = 0
  /** What is of the session at large goes with what has begun it. */
  #beginning: Group = { fate: 'kept' }
  #listening: { readonly lane: Lane; readonly group: Group } | undefined

  constructor(appender: TapeAppender) {
    this.#appender = appender
  }

  call(request: Message, modern: boolean): TapedCall {
    const group: Group = { fate: 'unknown', idKey: idKey(request.idText!) }
    if (request.method === 'initialize') this.#beginning = group
    const lane: Lane = { kind: 'post', session: modern ? undefined : this.#session }
    const isSubscription = request.method === 'subscriptions/listen'
    let streaming = false
    const put = (facts: Facts): void => this.#put(group, lane, facts)
    put({ kind: 'message', dir: 'up', http: POST, bytes: request.bytes })
    return {
      said: message => {
        if (!streaming) put({ kind: 'head', dir: 'down', http: SSE_HEAD })
        streaming = true
        put({ kind: 'message', dir: 'down', bytes: message.bytes })
        // Its answer comes when it is over, if at all: what matters are its events.
        if (isSubscription) this.#settle(group, 'kept')
      },
      answered: message => {
        put({ kind: 'message', dir: 'down', bytes: message.bytes, ...(!streaming && { http: JSON_HEAD }) })
        if (streaming) put({ kind: 'end', dir: 'down', outcome: 'complete' })
        this.#settle(group, 'kept')
      },
      replied: message => this.#up(message, group),
      failed: () => this.#settle(group, 'left out')
    }
  }

  /** The client's notification, or its answer to a question of the session at large. */
  told(message: Message): void {
    const cancelled = message.method === 'notifications/cancelled' ? message.requestIdText : undefined
    if (cancelled !== undefined && this.#cancelled(idKey(cancelled))) return
    this.#up(message, this.#beginning)
  }

  /** What the server says that belongs to no call. */
  said(message: Message): void {
    const group = this.#beginning
    if (this.#listening?.group !== group) {
      const lane: Lane = { kind: 'get', session: this.#session }
      this.#listening = { lane, group }
      this.#put(group, lane, { kind: 'open', dir: 'up', http: { method: 'GET', path: '/mcp', headers: [] } })
      this.#put(group, lane, { kind: 'head', dir: 'down', http: SSE_HEAD })
    }
    this.#put(group, this.#listening.lane, { kind: 'message', dir: 'down', bytes: message.bytes })
  }

  /** The session is over: what has no answer will have none. */
  close(): void {
    for (const { group } of this.#held) if (group.fate === 'unknown') group.fate = 'left out'
    this.#write()
  }

  #up(message: Message, group: Group): void {
    const lane: Lane = { kind: 'post', session: this.#session }
    this.#put(group, lane, { kind: 'message', dir: 'up', http: POST, bytes: message.bytes })
    this.#put(group, lane, { kind: 'head', dir: 'down', http: { status: 202, headers: [] } })
  }

  /** An answer may never come, and what comes is nobody's. */
  #cancelled(key: string): boolean {
    const found = this.#held.find(({ group }) => group.fate === 'unknown' && group.idKey === key)
    if (found) this.#settle(found.group, 'left out')
    return found !== undefined
  }

  #settle(group: Group, fate: Fate): void {
    if (group.fate !== 'unknown') return
    group.fate = fate
    this.#write()
  }

  #put(group: Group, lane: Lane, facts: Facts): void {
    if (group.fate === 'left out') return
    this.#held.push({ group, lane, facts, time: performance.now() })
    this.#heldBytes += sizeOf(facts)
    this.#write()
    while (this.#heldBytes > MAX_HELD) this.#settle(this.#held[0]!.group, 'left out')
  }

  /** All up to the first whose fate is unknown. */
  #write(): void {
    let done = 0
    for (const { group, lane, facts, time } of this.#held) {
      if (group.fate === 'unknown') break
      done++
      this.#heldBytes -= sizeOf(facts)
      if (group.fate === 'left out') continue
      lane.name ??= this.#appender.stream(lane.kind)
      const { session, name: stream } = lane
      this.#appender.append({ ...facts, ...(session !== undefined && { session }), stream, time, side: 'client' })
    }
    if (done > 0) this.#held.splice(0, done)
  }
}

function sizeOf({ bytes }: Facts): number {
  return (bytes?.length ?? 0) + 256
}
