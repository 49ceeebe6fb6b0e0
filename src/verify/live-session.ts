import type { CatflapError } from '../errors.ts'
import type { Message } from '../protocol/message.ts'
import type { Era } from '../protocol/versions.ts'
import type { Target } from '../proxy/core.ts'
import type { CallInput, CallReceiver, Leg, LegEvents, ReplyHead } from '../transport/upstream.ts'
import { LiveRequest, Receiver } from './live-request.ts'
import { LiveVoices } from './live-voices.ts'
import { SessionNames } from './session-names.ts'
import { Happenings } from './signal.ts'

/** How long a server may take to have a notification, and a stream to open, in ms. */
const PATIENCE = 2_000

/** One conversation with the server: a leg of its own, and who is asked what on it. */
export class LiveSession {
  readonly happenings = new Happenings()
  /** How many messages of each method came, whomever they belong to. */
  readonly counts = new Map<string, number>()
  /** What it says to the session at large. */
  readonly voices = new LiveVoices()
  /** The server has answered something, whatever it was. */
  answered = false
  readonly #leg: Leg
  readonly #target: Target
  readonly #era: Era
  readonly #open = new Set<LiveRequest>()
  readonly #onQuestion: (message: Message, request: LiveRequest | undefined) => void
  readonly #names: SessionNames
  #streamOpened = false
  #lost: CatflapError | undefined

  constructor(
    target: Target,
    options: {
      readonly era: Era
      /** What the session is called on the tape. */
      readonly handle: string | undefined
      /** The server asks the client something. */
      readonly onQuestion: (message: Message, request: LiveRequest | undefined) => void
    }
  ) {
    this.#target = target
    this.#era = options.era
    this.#onQuestion = options.onQuestion
    this.#names = new SessionNames(options.handle)
    this.#leg = target.open(this.#events())
  }

  /** How often the server has said by now that its tools have changed. */
  get toolChanges(): number {
    return this.counts.get('notifications/tools/list_changed') ?? 0
  }

  /** All comes on one stream, as far as is known: what a URL speaks shows when it is asked. */
  get onPipe(): boolean {
    return this.#target.kind !== 'http'
  }

  get lost(): CatflapError | undefined {
    return this.#lost
  }

  /** How many requests wait for their answers. */
  get inFlight(): number {
    return this.#open.size
  }

  /** Sends one request, or several as a batch. `timeout` in ms; 0: none. */
  request(
    messages: readonly Message[],
    { timeout, headers }: { readonly timeout: number; readonly headers: readonly string[] }
  ): readonly LiveRequest[] {
    const { onPipe } = this
    const requests = messages.map(m => new LiveRequest(m, { timeout, onPipe, toolChanges: this.toolChanges }))
    for (const request of requests) {
      this.#open.add(request)
      this.voices.began(request)
      // Of three or more, those before are known not to be alone.
      if (this.#open.size === 2) for (const one of this.#open) one.alone = false
      else if (this.#open.size > 2) request.alone = false
      void request.ended.then(outcome => {
        this.#open.delete(request)
        this.answered ||= outcome.kind === 'response' || (outcome.kind === 'failed' && hasStatus(outcome.error))
        this.happenings.happened()
      })
    }
    const receiver = new Receiver(requests, {
      asOnTape: message => this.#asOnTape(message),
      happened: () => this.happenings.happened()
    })
    const call = this.#leg.call(this.#input(messages, 'request', headers), receiver)
    for (const request of requests) request.call = call
    return requests
  }

  /** Sends a notification or an answer. Resolves once the server has it, has refused it, or took too long. */
  async say(message: Message, headers: readonly string[]): Promise<void> {
    this.voices.touched()
    let done = false
    const end = (): void => {
      done = true
      this.happenings.happened()
    }
    const receiver: CallReceiver = { onHead() {}, onData() {}, onMessage() {}, onEnd: end, onError: end }
    this.#leg.call(this.#input([message], 'notify', headers), receiver)
    await this.happenings.until(() => done, PATIENCE)
    // What the server says on its own account from here on is only heard on a stream of its own.
    if (message.method === 'notifications/initialized' && this.#target.kind === 'http')
      await this.happenings.until(() => this.#streamOpened || this.#lost !== undefined, PATIENCE)
  }

  async close(): Promise<void> {
    for (const request of [...this.#open]) request.leave('shutdown')
    await this.#leg.close()
  }

  #asOnTape(message: Message): Message {
    this.#names.learn(this.#leg.upstreamId)
    return this.#names.asOnTape(message)
  }

  #input(recorded: readonly Message[], kind: 'request' | 'notify', headers: readonly string[]): CallInput {
    const messages = recorded.map(message => this.#names.asNow(message))
    const [only] = messages
    const batch = messages.length > 1 ? messages : undefined
    return {
      kind: batch ? 'batch' : kind,
      era: this.#era,
      message: batch ? undefined : only,
      batch,
      body: batch ? undefined : only?.bytes,
      headers
    }
  }

  #events(): LegEvents {
    return {
      message: (message, call) => this.#heard(this.#asOnTape(message), call),
      late: message => this.voices.late(this.#asOnTape(message)),
      noise() {},
      stderr() {},
      lost: (error, facts) => {
        // An end that we wished for is none that anybody has to hear of.
        if (facts.expected !== 1) this.#lost = error
        this.happenings.happened()
      },
      http: method => {
        if (method !== 'GET') return undefined
        const opened = (_?: ReplyHead): void => {
          this.#streamOpened = true
          this.happenings.happened()
        }
        return { head: opened, end: () => opened() }
      }
    }
  }

  #heard(message: Message, call: CallReceiver | undefined): void {
    const method = message.method!
    this.counts.set(method, (this.counts.get(method) ?? 0) + 1)
    const request = this.#owner(message, call)
    request?.heard({ message, owned: call !== undefined })
    if (!call && message.kind !== 'request') this.voices.heard(message)
    if (message.kind === 'request') this.#onQuestion(message, request)
    this.happenings.happened()
  }

  /** On one stream for all, what names nobody belongs to the only request that is under way. */
  #owner(message: Message, call: CallReceiver | undefined): LiveRequest | undefined {
    if (call instanceof Receiver) {
      const token = message.progressTokenText
      return call.requests.find(r => token !== undefined && r.token === token) ?? call.requests[0]
    }
    return this.#open.size === 1 ? [...this.#open][0] : undefined
  }
}

/** An answer of HTTP is an answer, though none of MCP. */
function hasStatus(error: CatflapError): boolean {
  return typeof error.data?.status === 'number' || error.code === 'upstream_session_lost'
}
