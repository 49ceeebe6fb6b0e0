import type { Transform } from 'node:stream'
import { CatflapError } from '../../errors.ts'
import { MalformedMessage, Message } from '../../protocol/message.ts'
import { type SseEvent, SseEventTooLarge, SseParser } from '../../protocol/sse.ts'
import { decoderFor } from '../decode.ts'
import type { CallInput, CallReceiver, CancelReason, Leg, ReplyHead, RetryReason, UpstreamCall } from '../upstream.ts'
import { isSent } from './http-call.ts'

/** Where a stream of events stands, across the connections that carry it. */
export interface Cursor {
  lastEventId: string | undefined
  /** What the server asked for last, in ms. */
  retry: number | undefined
  /** Events that had any field. */
  events: number
}

export type ReplyEnd =
  /** Whole, and every message was told. */
  | { readonly how: 'complete' }
  /** A status other than 2xx, with what was kept of its body. */
  | { readonly how: 'refused'; readonly head: ReplyHead; readonly body: Buffer }
  /** A 2xx whose content is no message. */
  | { readonly how: 'unreadable'; readonly head: ReplyHead; readonly body: Buffer }
  | { readonly how: 'failed'; readonly error: CatflapError }

/** Hears what is in an answer. Exactly one `end` comes, nothing after it. */
export interface ReplySink {
  head(head: ReplyHead): void
  message(message: Message): void
  /** An event that is no message. */
  noise(bytes: Buffer): void
  /** Its last event has an id that no request could name: from there it cannot be taken up again. */
  unusableId?(): void
  /** The server speaks another transport; told in place of an end. */
  otherTransport?(): void
  end(end: ReplyEnd): void
}

export interface ReplyReaderOptions {
  readonly leg: Leg
  readonly input: CallInput
  /** For errors. */
  readonly label: string
  readonly maxMessage: number
  readonly cursor: Cursor
  /** It is over, read or given up. */
  readonly done: () => void
  /** It did not reach the server, and is made once more. */
  readonly again?: (reason: RetryReason) => void
}

/** Who holds the flow: the owner of the leg, whoever waits for this answer, or an unpacker that is full. */
type Hold = 'leg' | 'call' | 'decoder'

/** One request over HTTP and its answer, taken apart into messages: JSON, an array, or a stream of events. */
export class ReplyReader implements CallReceiver {
  readonly #options: ReplyReaderOptions
  readonly #holds = new Set<Hold>()
  #sink: ReplySink | undefined
  #handle: UpstreamCall | undefined
  #head: ReplyHead | undefined
  #decoder: Transform | undefined
  #events: SseParser | undefined
  #parts: Buffer[] = []
  #size = 0
  #received = false

  constructor(options: ReplyReaderOptions, sink: ReplySink) {
    this.#options = options
    this.#sink = sink
  }

  /** The answer is a stream of events. */
  get streaming(): boolean {
    return this.#events !== undefined
  }

  start(): void {
    this.#handle = this.#options.leg.call(this.#options.input, this)
    if (this.#holds.size > 0) this.#handle.pause()
    if (!this.#sink) this.#handle.cancel('client-gone')
  }

  hold(why: Hold): void {
    this.#holds.add(why)
    this.#handle?.pause()
    if (why !== 'decoder') this.#decoder?.pause()
  }

  release(why: Hold): void {
    if (!this.#holds.delete(why)) return
    if (this.#holds.size === 0) this.#handle?.resume()
    if (!this.#holds.has('leg') && !this.#holds.has('call')) this.#decoder?.resume()
  }

  /** False: nothing of it has left yet, and if it is cancelled now, nothing will. */
  get sent(): boolean {
    return this.#handle !== undefined && isSent(this.#handle)
  }

  /** Closes the connection; nothing is told any more. */
  cancel(reason: CancelReason = 'client-gone'): void {
    if (!this.#sink) return
    this.#sink = undefined
    this.#decoder?.destroy()
    this.#handle?.cancel(reason)
    this.#options.done()
  }

  onHead(head: ReplyHead): void {
    this.#head = head
    if (head.encoding !== undefined && !this.#decode(head.encoding)) return
    if (isSuccess(head) && head.type === 'sse') this.#events = new SseParser(this.#options.maxMessage)
    this.#sink?.head(head)
  }

  onData(chunk: Buffer): void {
    if (!this.#decoder) return this.#content(chunk)
    if (this.#sink && !this.#decoder.write(chunk)) this.hold('decoder')
  }

  onMessage(): void {}

  onAgain(reason: RetryReason): void {
    this.#options.again?.(reason)
  }

  onOtherTransport(): void {
    const sink = this.#sink
    this.#sink = undefined
    this.#options.done()
    sink?.otherTransport?.()
  }

  onEnd(): void {
    this.#received = true
    if (this.#decoder) this.#decoder.end()
    else this.#complete()
  }

  onError(error: CatflapError): void {
    this.#end({ how: 'failed', error })
  }

  /** Servers may compress although identity was asked for. In pieces, so that a bomb meets the bound of what reads them. */
  #decode(encoding: string): boolean {
    const decoder = decoderFor(encoding)
    if (!decoder) {
      this.#fail('upstream_protocol', `the answer has the Content-Encoding '${encoding}', which catflap cannot undo.`)
      return false
    }
    this.#decoder = decoder
    if (this.#holds.size > 0) decoder.pause()
    decoder.on('data', (chunk: Buffer) => this.#content(chunk))
    decoder.on('drain', () => this.release('decoder'))
    decoder.on('end', () => this.#complete())
    decoder.on('error', () => {
      if (this.#received) this.#fail('upstream_reset', 'the connection broke before the answer was complete.')
      else this.#fail('upstream_protocol', `the answer is not what its Content-Encoding '${encoding}' says.`)
    })
    if (this.#holds.size === 0) decoder.resume()
    return true
  }

  #content(chunk: Buffer): void {
    if (!this.#sink) return
    if (this.#events) return this.#feed(this.#events, chunk)
    const room = this.#options.maxMessage - this.#size
    this.#parts.push(chunk.length > room ? chunk.subarray(0, room) : chunk)
    this.#size += chunk.length
    if (chunk.length <= room) return
    // What a server says to an error is for people; its beginning will do.
    if (this.#head && !isSuccess(this.#head)) this.#complete()
    else this.#tooLarge()
  }

  #feed(parser: SseParser, chunk: Buffer): void {
    let events: SseEvent[]
    try {
      events = parser.push(chunk)
    } catch (error) {
      if (error instanceof SseEventTooLarge) return this.#tooLarge()
      throw error
    }
    for (const event of events) this.#event(event)
  }

  #event(event: SseEvent): void {
    const { cursor } = this.#options
    if (!this.#sink) return
    if (event.id !== undefined) this.#at(event.id)
    if (event.retry !== undefined) cursor.retry = event.retry
    if (event.id !== undefined || event.retry !== undefined || event.data !== undefined) cursor.events++
    // Empty data primes the client to come back; other event names are no messages (spec 2025-11-25 basic/transports).
    if (!event.data || event.data.length === 0 || (event.event || 'message') !== 'message') return
    try {
      this.#tell(Message.parseBody(event.data, 'server'))
    } catch (error) {
      if (!(error instanceof MalformedMessage)) throw error
      this.#sink.noise(event.data)
    }
  }

  #at(id: string): void {
    const { cursor } = this.#options
    const usable = id.length <= MAX_EVENT_ID && HEADER_VALUE.test(id)
    // An earlier one would bring again what came since.
    cursor.lastEventId = id === '' || !usable ? undefined : id
    if (!usable) this.#sink?.unusableId?.()
  }

  #tell(parsed: Message | readonly Message[]): void {
    if (parsed instanceof Message) this.#sink?.message(parsed)
    else for (const message of parsed) this.#sink?.message(message)
  }

  #complete(): void {
    const head = this.#head
    if (!this.#sink || !head) return
    const body = Buffer.concat(this.#parts)
    this.#parts = []
    if (!isSuccess(head)) return this.#end({ how: 'refused', head, body })
    if (this.#events || body.toString('latin1').trim() === '') return this.#end({ how: 'complete' })
    let parsed: Message | readonly Message[]
    try {
      parsed = Message.parseBody(body, 'server')
    } catch (error) {
      if (error instanceof MalformedMessage) return this.#end({ how: 'unreadable', head, body })
      throw error
    }
    this.#tell(parsed)
    this.#end({ how: 'complete' })
  }

  #tooLarge(): void {
    this.#fail(
      'message_too_large',
      `the server sent a message of more than --max-message (${this.#options.maxMessage}) bytes.`
    )
  }

  #fail(code: 'message_too_large' | 'upstream_protocol' | 'upstream_reset', text: string): void {
    const { label } = this.#options
    const error = new CatflapError(code, `${label}: ${text}`, { data: { target: label } })
    this.#end({ how: 'failed', error })
  }

  #end(end: ReplyEnd): void {
    const sink = this.#sink
    if (!sink) return
    this.#sink = undefined
    this.#parts = []
    this.#decoder?.destroy()
    // Not all of it need have come.
    this.#handle?.cancel('client-gone')
    this.#options.done()
    sink.end(end)
  }
}

/** RFC 9110 §5.5: other characters can stand in no header. */
const HEADER_VALUE = /^[\t\x20-\x7e\x80-\u{10ffff}]*$/u
/** Servers give all headers of a request together some 16 KiB. */
const MAX_EVENT_ID = 4096

export function isSuccess(head: ReplyHead): boolean {
  return head.status >= 200 && head.status < 300
}
