import type { Message } from '../protocol/message.ts'
import { newHandle } from '../session/new-session.ts'
import type { Frame, HttpFacts } from '../tape/frame.ts'
import type { TapeAppender } from './tape-appender.ts'

/** One call that is written down, if it comes to an end that the client knows of. */
export interface TapedCall {
  said(message: Message): void
  answered(message: Message): void
  /** The client's answer to a question that came with the call. */
  replied(message: Message): void
  /** The client does not want it any more, and says so. */
  cancelled(notification: Message): void
  /** The same, of a client of 2026-07-28 over HTTP: it goes away. */
  left(): void
  /** It has no answer: nothing of it is written, so that the server is asked the next time as well. */
  failed(): void
}

export interface TapedHow {
  readonly modern: boolean
  /** The client said it when it began, and catflap says it again for what the tape does not have. */
  readonly own?: boolean
}

const POST = { method: 'POST', path: '/mcp', headers: ['Content-Type', 'application/json'] }
const JSON_TYPE = ['Content-Type', 'application/json']
const SSE_TYPE = ['Content-Type', 'text/event-stream']
const SSE_HEAD = { status: 200, headers: SSE_TYPE }

/** Bytes that wait for what came before them. Beyond, the oldest call without an answer is given up. */
const MAX_HELD = 8 * 1024 * 1024
/** Bytes of an answer; a line of a tape is at most 64 MiB long, and may need twice as many. */
const MAX_ANSWER = 24 * 1024 * 1024
/** So long, in ms, what was answered waits for calls before it that were not. */
const PATIENCE = 500

type Fate = 'unknown' | 'kept' | 'left out'

/** Frames that are written all or not at all. */
interface Group {
  fate: Fate
  /** It was answered, and is kept if anything else is. */
  ready?: boolean
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
 * calls before it were answered; behind a call that takes long, it is not waited for that.
 */
export class LiveTape {
  readonly #appender: Pick<TapeAppender, 'append' | 'stream'>
  readonly #note: (text: string) => void
  readonly #session = newHandle()
  #held: Held[] = []
  #heldBytes = 0
  /** What is of the session at large goes with what has begun it. */
  #beginning: Group = { fate: 'kept' }
  #listening: { readonly lane: Lane; readonly group: Group } | undefined
  #timer: NodeJS.Timeout | undefined

  /** `note` hears what is left out for its length. */
  constructor(appender: Pick<TapeAppender, 'append' | 'stream'>, note: (text: string) => void) {
    this.#appender = appender
    this.#note = note
  }

  call(request: Message, { modern, own = false }: TapedHow): TapedCall {
    const group: Group = { fate: 'unknown' }
    if (request.method === 'initialize') this.#beginning = group
    const lane: Lane = { kind: 'post', session: modern ? undefined : this.#session }
    const isSubscription = request.method === 'subscriptions/listen'
    // Without it, this would be a server without sessions, and all that clients asked of it one conversation.
    const id = request.method === 'initialize' && lane.session !== undefined ? ['Mcp-Session-Id', lane.session] : []
    const head = (type: readonly string[]): HttpFacts => ({ status: 200, headers: [...type, ...id] })
    let streaming = false
    const put = (facts: Facts): void => this.#put(group, lane, facts)
    put({ kind: 'message', dir: 'up', http: POST, bytes: request.bytes, ...(own && { own }) })
    return {
      said: message => {
        if (!streaming) put({ kind: 'head', dir: 'down', http: head(SSE_TYPE) })
        streaming = true
        put({ kind: 'message', dir: 'down', bytes: message.bytes })
        // Its answer comes when it is over, if at all: what matters are its events.
        if (isSubscription) this.#settle(group, 'kept')
      },
      answered: message => {
        if (message.bytes.length > MAX_ANSWER) return this.#leaveOut(group, 'an answer is too long')
        // A session that was begun again for what is missing on the tape is of no use without that.
        if (own) group.ready = true
        else this.#settle(group, 'kept')
        put({ kind: 'message', dir: 'down', bytes: message.bytes, ...(!streaming && { http: head(JSON_TYPE) }) })
        if (streaming) put({ kind: 'end', dir: 'down', outcome: 'complete' })
      },
      replied: message => this.#up(message, group),
      cancelled: notification => {
        this.#settle(group, 'kept')
        this.#up(notification, group)
      },
      left: () => {
        if (group.fate !== 'unknown') return
        this.#settle(group, 'kept')
        put({ kind: 'note', dir: 'up', note: 'disconnect', text: 'the client went away' })
      },
      failed: () => this.#settle(group, 'left out')
    }
  }

  /** The client's notification, or its answer to a question of the session at large. */
  told(message: Message): void {
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
    clearTimeout(this.#timer)
  }

  #up(message: Message, group: Group): void {
    const lane: Lane = { kind: 'post', session: this.#session }
    this.#put(group, lane, { kind: 'message', dir: 'up', http: POST, bytes: message.bytes })
    this.#put(group, lane, { kind: 'head', dir: 'down', http: { status: 202, headers: [] } })
  }

  #settle(group: Group, fate: Fate): void {
    if (group.fate !== 'unknown') return
    group.fate = fate
    if (fate === 'kept' && this.#beginning.ready) this.#beginning.fate = 'kept'
    this.#write()
  }

  #leaveOut(group: Group, why: string): void {
    if (group.fate === 'unknown') this.#note(`${why} to be added to the tape; the server is asked again the next time`)
    this.#settle(group, 'left out')
  }

  #put(group: Group, lane: Lane, facts: Facts): void {
    if (group.fate === 'left out') return
    this.#held.push({ group, lane, facts, time: performance.now() })
    this.#heldBytes += sizeOf(facts)
    this.#write()
    if (this.#heldBytes <= MAX_HELD) return
    this.#writeKept()
    while (this.#heldBytes > MAX_HELD) this.#giveUp(this.#held[0]!.group)
  }

  /** What was answered is worth keeping whatever else there is. */
  #giveUp(group: Group): void {
    if (group.ready) this.#settle(group, 'kept')
    else this.#leaveOut(group, 'what came before an answer is too long')
  }

  /** All up to the first whose fate is unknown. */
  #write(): void {
    const unknown = this.#held.findIndex(({ group }) => group.fate === 'unknown')
    for (const one of this.#held.splice(0, unknown < 0 ? this.#held.length : unknown)) this.#append(one)
    if (this.#held.length > 0 && this.#held.at(-1)!.group.fate === 'kept')
      this.#timer ??= setTimeout(this.#late, PATIENCE)
  }

  readonly #late = (): void => {
    this.#timer = undefined
    this.#writeKept()
  }

  /** All whose fate is known. */
  #writeKept(): void {
    const held = this.#held
    this.#held = held.filter(({ group }) => group.fate === 'unknown')
    for (const one of held) if (one.group.fate !== 'unknown') this.#append(one)
  }

  #append({ group, lane, facts, time }: Held): void {
    this.#heldBytes -= sizeOf(facts)
    if (group.fate === 'left out') return
    lane.name ??= this.#appender.stream(lane.kind)
    const { session, name: stream } = lane
    this.#appender.append({ ...facts, ...(session !== undefined && { session }), stream, time, side: 'client' })
  }
}

function sizeOf({ bytes }: Facts): number {
  return (bytes?.length ?? 0) + 256
}
