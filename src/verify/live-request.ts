import type { CatflapError } from '../errors.ts'
import type { Message } from '../protocol/message.ts'
import type { RecordedRequest } from '../replay/recording.ts'
import type { CallReceiver, CancelReason, UpstreamCall } from '../transport/upstream.ts'
import { ANNOUNCEMENTS } from './announcements.ts'

/** What came of a request now. */
export type LiveOutcome =
  | { readonly kind: 'response'; readonly message: Message; readonly at: number }
  | { readonly kind: 'failed'; readonly error: CatflapError }
  /** Nothing came in time. */
  | { readonly kind: 'late' }
  /** It was cancelled as on the tape, and no answer came. */
  | { readonly kind: 'cancelled' }

export interface LiveSaid {
  readonly message: Message
  /** It came with the request, or names it; else it is of the session at large. */
  readonly owned: boolean
}

/** What came of a request, once it is over. */
export interface LiveAnswer {
  readonly outcome: LiveOutcome | undefined
  /** What the server said that belongs to it. */
  readonly said: readonly LiveSaid[]
  /** How much more came than is kept. */
  readonly unkept: number
  /** No other request was under way at any time. */
  readonly alone: boolean
  readonly onPipe: boolean
  readonly ms: number | undefined
}

/** More of one request than this is counted, not kept. */
const MAX_SAID = 10_000

/** A server that speaks without end is waited for so many times as long as a silent one. */
const LONGEST = 20

/** One request that is on its way to the server. */
export class LiveRequest implements LiveAnswer {
  readonly idText: string
  /** JSON text of its progress token. */
  readonly token: string | undefined
  readonly sentAt = performance.now()
  /** What the server said that belongs to it: its beginning, where that is very much. */
  readonly said: LiveSaid[] = []
  /** How much more came than is kept. */
  unkept = 0
  /** How much came that is its own for sure. */
  owned = 0
  /** Never rejects. */
  readonly ended: Promise<LiveOutcome>
  outcome: LiveOutcome | undefined
  /** No other request was under way at any time. */
  alone = true
  readonly onPipe: boolean
  /** How often the server had said, when this was sent, that its tools have changed. */
  readonly toolChanges: number
  ms: number | undefined
  call: UpstreamCall | undefined
  #resolve!: (outcome: LiveOutcome) => void
  #timer: NodeJS.Timeout | undefined
  readonly #timeout: number

  /** A `timeout` of 0: it may stay open for as long as it likes. */
  constructor(
    message: Message,
    {
      timeout,
      onPipe,
      toolChanges
    }: { readonly timeout: number; readonly onPipe: boolean; readonly toolChanges: number }
  ) {
    this.onPipe = onPipe
    this.toolChanges = toolChanges
    this.idText = message.idText!
    this.token = message.progressTokenText
    this.#timeout = timeout
    this.ended = new Promise(resolve => {
      this.#resolve = resolve
    })
    this.#restart(timeout)
  }

  heard(said: LiveSaid): void {
    if (said.owned) this.owned++
    if (this.said.length < MAX_SAID) this.said.push(said)
    else this.unkept++
    if (!said.owned || this.#timeout === 0 || this.outcome) return
    const left = this.#timeout * LONGEST - (performance.now() - this.sentAt)
    this.#restart(Math.max(1, Math.min(this.#timeout, left)))
  }

  end(outcome: LiveOutcome): void {
    if (this.outcome) return
    clearTimeout(this.#timer)
    this.outcome = outcome
    this.ms = performance.now() - this.sentAt
    this.#resolve(outcome)
  }

  /** The client wants no answer any more. */
  leave(reason: CancelReason): void {
    if (this.outcome) return
    this.end({ kind: reason === 'timeout' ? 'late' : 'cancelled' })
    this.call?.cancel(reason)
  }

  /** An answer may still come for so long. */
  giveUpAfter(ms: number): void {
    if (this.outcome) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.leave('client-cancelled'), ms)
  }

  #restart(ms: number): void {
    clearTimeout(this.#timer)
    if (ms > 0) this.#timer = setTimeout(() => this.leave('timeout'), ms)
  }
}

/** Hears what comes for one request, or for several that were sent as one batch. */
export class Receiver implements CallReceiver {
  readonly requests: readonly LiveRequest[]
  readonly #parts: { readonly asOnTape: (message: Message) => Message; readonly happened: () => void }

  constructor(
    requests: readonly LiveRequest[],
    parts: { readonly asOnTape: (message: Message) => Message; readonly happened: () => void }
  ) {
    this.requests = requests
    this.#parts = parts
  }

  onHead(): void {}
  onData(): void {}

  onMessage(message: Message): void {
    const request = this.requests.find(r => r.idText === message.idText) ?? this.requests.find(r => !r.outcome)
    request?.end({ kind: 'response', message: this.#parts.asOnTape(message), at: Date.now() })
    this.#parts.happened()
  }

  onEnd(): void {}

  onError(error: CatflapError): void {
    for (const request of this.requests) request.end({ kind: 'failed', error })
    this.#parts.happened()
  }
}

/** Of what came while a request was under way, that which belongs to it as far as can be told without a recording. */
export function belongingLive({ said, alone, onPipe }: LiveAnswer): LiveSaid[] {
  return said.filter(({ message, owned }) => {
    if (ANNOUNCEMENTS.test(message.method ?? '') || message.kind === 'request') return false
    return owned || (alone && onPipe)
  })
}

/** As much has come for a request as had come by then on the tape, or it is over. */
export function hasHeard(step: RecordedRequest, live: LiveRequest, order: number): boolean {
  if (live.outcome) return true
  const count = step.said.filter(s => s.owned && s.order < order).length
  return live.owned >= count
}
