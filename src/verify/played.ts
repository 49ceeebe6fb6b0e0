import type { Message } from '../protocol/message.ts'
import type { Target } from '../proxy/core.ts'
import type { Conversation, RecordedAnswer, RecordedRequest, Said } from '../replay/recording.ts'
import { ANNOUNCEMENTS } from './announcements.ts'
import type { Comparer } from './compare.ts'
import { withText } from './compare.ts'
import { LiveSession } from './live-session.ts'
import { allSaid, type Spoken } from './plan.ts'
import { Questions } from './questions.ts'
import { sentHeaders } from './redactions.ts'
import type { FoundDifference } from './report.ts'
import { recordedVoices, type Voice } from './voices.ts'

/** How long a question that belongs to no request is waited for, in ms. */
const LOOSE_QUESTION = 5_000

/** What is known by now of a request. */
export interface SentFacts {
  /** It is not left out. */
  readonly isSent: (request: RecordedRequest) => boolean
  /** Nor does the tape end before its answer. */
  readonly isCompared: (request: RecordedRequest) => boolean
}

/** One recorded conversation, as it is had again. */
export class Played {
  readonly session: LiveSession
  readonly questions: Questions
  /** The server has not answered `initialize`, without which nothing else is worth a try. */
  isRefused = false
  /** By whose rules the differences are. */
  comparer: Comparer
  readonly #conversation: Conversation
  /** It was had to its end. */
  #isWhole = false
  readonly #isSureOf: (request: RecordedRequest) => boolean
  readonly #announcements: readonly Said[]
  /** How many of them the client had heard by now, and of which methods. */
  #heard = 0
  readonly #due = new Map<string, number>()
  readonly #answers = new Set<Promise<void>>()
  #closed: Promise<void> | undefined

  constructor(
    conversation: Conversation,
    target: Target,
    comparer: Comparer,
    messageOf: (step: Spoken) => Message | undefined,
    { isSent, isCompared }: SentFacts
  ) {
    this.#conversation = conversation
    this.#isSureOf = isCompared
    this.comparer = comparer
    this.#announcements = allSaid(conversation).filter(said => ANNOUNCEMENTS.test(said.method))
    this.questions = new Questions(conversation, isSent, {
      compare: (said, live) => comparer.question(said, live),
      answer: (said, idText) => {
        const message = said.answer && messageOf(said.answer)
        if (message && said.answer) this.#say(message.withId(idText), said.answer)
      },
      refuse: message => this.#say(message, undefined)
    })
    const { era, session: handle } = conversation
    this.session = new LiveSession(target, { era, handle, onQuestion: m => this.questions.asked(m) })
  }

  /** As many announcements have come as the client had heard by then, or it has been waited long enough. */
  async announced(order: number, ms: number): Promise<void> {
    for (; (this.#announcements[this.#heard]?.order ?? Number.POSITIVE_INFINITY) < order; this.#heard++) {
      const { method } = this.#announcements[this.#heard]!
      this.#due.set(method, (this.#due.get(method) ?? 0) + 1)
    }
    const { counts, happenings } = this.session
    const missing = (): [string, number][] => [...this.#due].filter(([method, n]) => (counts.get(method) ?? 0) < n)
    const over = (): boolean => missing().length === 0 || this.session.lost !== undefined
    if (await happenings.until(over, ms)) return
    // What has not come by now is not waited for again.
    for (const [method] of missing()) this.#due.set(method, counts.get(method) ?? 0)
  }

  /** The client answered the server now: once the server has asked, unless what it asked for is over. */
  async answerDue(said: Said, timeout: number): Promise<void> {
    const { session, questions } = this
    const over = (): boolean => session.lost !== undefined || (said.owned && session.inFlight === 0)
    const patience = said.owned ? timeout : Math.min(timeout, LOOSE_QUESTION)
    await session.happenings.until(() => questions.isAsked(said) || over(), patience)
    questions.answerDue(said)
    await Promise.all(this.#answers)
  }

  /** Waits for what the server said to the session at large when it was recorded. */
  async voicesCame(ms: number): Promise<void> {
    this.#isWhole = true
    if (!this.#isCompared) return
    const due = new Map<string, number>()
    for (const { method, isChance } of this.voicesThen)
      if (!isChance) due.set(method, ANNOUNCEMENTS.test(method) ? 1 : (due.get(method) ?? 0) + 1)
    const { counts, happenings } = this.session
    const isMissing = ([method, n]: [string, number]): boolean => (counts.get(method) ?? 0) < n
    await happenings.until(() => this.session.lost !== undefined || ![...due].some(isMissing), ms)
  }

  /** What the server said to the session at large then. */
  get voicesThen(): Voice[] {
    return recordedVoices(this.#conversation, this.#isSureOf, said => this.comparer.momentOf(said))
  }

  /** And now; undefined where the two cannot be compared. */
  get voicesNow(): Voice[] | undefined {
    return this.#isCompared ? this.session.voices.all : undefined
  }

  /** Where one of the two has a stream for each request, and the other one for all, they hear different things. */
  get #isCompared(): boolean {
    const isPipe = this.#conversation.steps.some(s => s.kind === 'request' && s.headers === undefined)
    return this.#isWhole && isPipe && this.session.onPipe && !this.isRefused && this.session.lost === undefined
  }

  /** What the server asked or said otherwise. */
  get differences(): FoundDifference[] {
    const extra = this.session.voices.extra.map(answer => ({ path: 'answer', kind: 'added' as const, new: answer }))
    const now = this.voicesNow
    const said = now ? this.comparer.atLarge(this.voicesThen, now) : []
    return [
      ...this.questions.differences.map(withText),
      ...said,
      ...extra.map(d => ({ ...d, text: `${withText(d).text} (nobody had asked, or it was answered already)` }))
    ]
  }

  close(): Promise<void> {
    this.#closed ??= this.session.close()
    return this.#closed
  }

  #say(message: Message, answer: RecordedAnswer | undefined): void {
    const said = this.session.say(message, answer ? sentHeaders(answer) : []).finally(() => this.#answers.delete(said))
    this.#answers.add(said)
  }
}
