import type { Message } from '../protocol/message.ts'
import type { RecordedRequest } from '../replay/recording.ts'
import type { LiveRequest } from './live-request.ts'
import { UnderWay } from './under-way.ts'
import { bodyOf, jsonOf, MAX_VOICES, type Voice } from './voices.ts'

/** Answers that nobody waits for: more are counted as these. */
const MAX_EXTRA = 100

/** An error that could not say whose it is: as tapes name it. */
const UNADDRESSED = 'error'

interface Heard extends Omit<Voice, 'body'> {
  readonly message: Message
}

/** What a server says to the session at large now. */
export class LiveVoices {
  readonly #underWay = new UnderWay(request => request.cancelled === undefined)
  readonly #heard: Heard[] = []
  readonly #extra: Message[] = []
  readonly #tokens = new Set<string>()
  /** Ids of requests that ended without an answer: it may come later. */
  readonly #unanswered = new Set<string>()

  /** A request was sent, of which nothing else is known. */
  began(live: LiveRequest): void {
    this.#underWay.began(live, undefined, Date.now())
    if (live.token !== undefined) this.#tokens.add(live.token)
    this.#unanswered.delete(live.idText)
    void live.ended.then(({ kind }) => {
      this.#underWay.over(live, Date.now(), kind === 'response')
      if (kind !== 'response') this.#unanswered.add(live.idText)
    })
  }

  /** It is one of the tape's. */
  isOf(live: LiveRequest, request: RecordedRequest): void {
    if (!live.outcome) this.#underWay.began(live, request, Date.now())
  }

  /** The client said something else. */
  touched(): void {
    this.#underWay.touched(Date.now())
  }

  heard(message: Message): void {
    const token = message.progressTokenText
    // A task goes on behind the answer that made it.
    if (token !== undefined && this.#tokens.has(token)) return
    this.#add(message.method!, message)
  }

  /** A message that belongs to no request under way. */
  late(message: Message): void {
    if (message.kind !== 'response') return
    if (message.idText === undefined) return this.#add(UNADDRESSED, message)
    if (!this.#unanswered.has(message.idText) && this.#extra.length < MAX_EXTRA) this.#extra.push(message)
  }

  get all(): Voice[] {
    return this.#heard.map(({ message, ...about }) => ({ ...about, body: contentOf(message) }))
  }

  /** Answers to nothing, or to what was answered already. */
  get extra(): unknown[] {
    return this.#extra.map(contentOf)
  }

  #add(method: string, message: Message): void {
    if (this.#heard.length >= MAX_VOICES) return
    const moment = Date.now()
    const { only: asked } = this.#underWay
    this.#heard.push({ method, message, asked, moment, truncated: false, isChance: this.#underWay.isChance(moment) })
  }
}

function contentOf(message: Message): unknown {
  return bodyOf(jsonOf(message.bytes.toString('utf8')))
}
