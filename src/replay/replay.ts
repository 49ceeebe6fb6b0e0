import { randomInt } from 'node:crypto'
import { basename } from 'node:path'
import { CatflapError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Message } from '../protocol/message.ts'
import type { Era } from '../protocol/versions.ts'
import { FIRST_MODERN_VERSION } from '../protocol/versions.ts'
import { matching } from './asking.ts'
import { Bits } from './bits.ts'
import { ConversationIndex } from './conversation-index.ts'
import { NamedCounts } from './counts.ts'
import { Divergences } from './divergences.ts'
import { type FaultRule, Faults } from './faults.ts'
import { Beginnings } from './likeness.ts'
import type { LiveServer } from './live-server.ts'
import { type Cursor, type Hit, type Match, Matcher, type Miss } from './matching.ts'
import { movedOf } from './moved.ts'
import { type TapeTargetOptions, tapesOf } from './options.ts'
import { readRecording } from './read-recording.ts'
import type { Conversation, RecordedRequest, Recording, Said, Step } from './recording.ts'
import { begunConversations, RefusedBeginnings, unbegunConversation } from './refused-beginnings.ts'
import { type Outlet, ReplaySession } from './replay-session.ts'
import {
  divergence,
  findingText,
  missText,
  placed,
  type ReplayFinding,
  ReplayReport,
  type ReplaySummary
} from './report.ts'
import { Revisions } from './revisions.ts'
import { DEFAULT_RULES, type Rules, readRules, rulesBeside } from './rules.ts'

/** What a session's misses are answered by, where it is not an error. */
export type OpenLive = (session: ReplaySession, outlet: Outlet) => LiveServer

export interface ReplayParts {
  readonly log: Log
  readonly onProgress?: (bytesRead: number, bytesTotal: number) => void
  readonly openLive?: OpenLive
}

/** One or several tapes that are replayed: what all replay sessions share. */
export class Replay {
  readonly recording: Recording
  readonly revisions: Revisions
  readonly divergences: Divergences
  /** Of clients that had no session: what others are given who have none. */
  readonly unbegun: Conversation | undefined
  /** For people, clients among them: without folders. */
  readonly label: string
  readonly report: ReplayReport = new ReplayReport()
  readonly faults: Faults
  /** Of what is counted over all sessions. */
  readonly counts: NamedCounts = new NamedCounts()
  speed: number
  readonly onDivergence: 'continue' | 'error'
  readonly #log: Log
  readonly #openLive: OpenLive | undefined
  readonly #matchers: { readonly legacy: Matcher | undefined; readonly modern: Matcher | undefined }
  readonly #beginnings: Beginnings
  readonly #refused: RefusedBeginnings
  readonly #indexes = new Map<Conversation, ConversationIndex>()
  /** Orders of the requests that somebody made. */
  readonly #used = new Bits()
  /** Read when it is first needed. */
  #moved: ReadonlyMap<number, readonly Said[]> | undefined
  readonly #sessions = new Set<ReplaySession>()

  /** Throws a TapeError for a tape that cannot be read, and what `readRules` throws. */
  static async open(options: TapeTargetOptions, parts: ReplayParts): Promise<Replay> {
    const files = tapesOf(options)
    const rules = await rulesOf(options, files)
    const recording = await readRecording(files, { onProgress: parts.onProgress })
    return new Replay(recording, rules, options, parts)
  }

  constructor(recording: Recording, rules: Rules, options: TapeTargetOptions, { log, openLive }: ReplayParts) {
    const { match: mode = 'keyed', repeat = 'last', speed = 'instant', faults = [] } = options
    this.recording = recording
    this.revisions = new Revisions(recording)
    this.divergences = new Divergences(recording, rules)
    this.label = `tape:${tapesOf(options)
      .map(file => basename(file))
      .join(',')}`
    this.onDivergence = options.onDivergence ?? 'continue'
    this.speed = speed === 'instant' ? Number.POSITIVE_INFINITY : speed
    this.faults = new Faults(faults, options.seed ?? randomInt(1, 2 ** 31))
    this.#log = log
    this.#openLive = openLive
    const { legacy, modern } = recording
    this.#beginnings = new Beginnings(begunConversations(legacy))
    this.#refused = new RefusedBeginnings(legacy)
    this.unbegun = unbegunConversation(legacy)
    this.#matchers = {
      legacy: legacy.length > 0 ? new Matcher(legacy, { mode, repeat, rules }) : undefined,
      modern: modern ? new Matcher(modern, { mode, repeat, rules }) : undefined
    }
    this.#warnOfGaps()
  }

  /** A tape that is only begun has no era yet: what the real server speaks decides. */
  get isLiveAlone(): boolean {
    return this.#openLive !== undefined && !this.revisions.any
  }

  /** `name`: the client's own for it. */
  session(outlet: Outlet, name?: string): ReplaySession {
    const session = new ReplaySession(this, outlet, name)
    this.#sessions.add(session)
    return session
  }

  left(session: ReplaySession): void {
    this.#sessions.delete(session)
  }

  isModern(message: Message): boolean {
    return message.metaVersion !== undefined || message.method === 'server/discover'
  }

  /** What the recorded server would have said to a client of another revision. */
  refusal(message: Message, modern: boolean): CatflapError | undefined {
    return this.revisions.refusal(message, modern)
  }

  cursor(era: Era, prefer?: Conversation): Cursor | undefined {
    return this.#matchers[era]?.cursor(prefer)
  }

  find(message: Message, cursor: Cursor | undefined): Match {
    const found: Match = (cursor && matching(cursor, message)) ?? { miss: this.#nothing(message) }
    if (!('request' in found)) return found
    const { request } = found
    const text = this.#lack(request)
    if (text !== undefined) return { miss: { text, closest: request, difference: [] } }
    this.hit(request)
    return found
  }

  /** Where it is this client's turn to be refused: how. */
  refusedBeginning({ method }: Message, modern: boolean): Hit | undefined {
    const refused = method === 'initialize' && !modern ? this.#refused.take() : undefined
    if (!refused) return undefined
    this.hit(refused)
    return { request: refused, again: false }
  }

  hit(request: RecordedRequest): void {
    this.report.hits++
    this.#used.add(request.order)
  }

  /** What the tape does not have of an answer. */
  #lack(request: RecordedRequest): string | undefined {
    const { outcome, place } = request
    if ((outcome.kind === 'response' || outcome.kind === 'status') && outcome.truncated)
      return `of the answer, only the beginning was recorded (${placeText(request)}; see --record-max-message)`
    if (outcome.kind !== 'open' || request.method === 'subscriptions/listen') return undefined
    const isWhole = this.recording.tapes.every(({ file, torn, missing }) => file !== place.file || !(torn || missing))
    return isWhole ? undefined : `the tape is not complete, and has no answer (${placeText(request)})`
  }

  #warnOfGaps(): void {
    for (const { file, torn, missing } of this.recording.tapes) {
      if (missing > 0)
        this.#log.warn(
          'replay-gaps',
          `${file}: the recorder left out ${missing === 1 ? '1 frame' : `${missing} frames`}; answers may be missing`
        )
      if (torn) this.#log.warn('replay-torn', `${file}: its last line was cut off, and is left out`)
    }
  }

  #nothing(message: Message): Miss {
    const era = this.isModern(message) ? 'from' : 'before'
    return {
      text: `it has no requests of revisions ${era} ${FIRST_MODERN_VERSION}${this.isModern(message) ? ' on' : ''}`,
      closest: undefined,
      difference: []
    }
  }

  /** Counts and tells what the tape does not have. Returns the error for the client. */
  missed(message: Message, { text, closest, difference }: Miss): CatflapError {
    const finding: ReplayFinding = {
      method: message.method!.slice(0, 200),
      ...(message.name !== undefined && { subject: message.name.slice(0, 200) }),
      ...(closest && placed(closest.place)),
      text,
      ...(difference.length > 0 && { difference })
    }
    const printed = this.report.missed(finding)
    this.#log.warn('replay-miss', `not on the tape: ${missText(printed)}`, { ...printed })
    const where = closest && `${basename(closest.place.file)}:${closest.place.line}`
    const data = { method: finding.method, closest: where, closestMethod: closest?.method, difference }
    const shown = difference.length > 0 ? `: ${difference.slice(0, 3).join('; ')}` : ''
    // Clients are told no folders.
    const told = closest ? text.replaceAll(closest.place.file, basename(closest.place.file)) : text
    return new CatflapError('replay_miss', `Not on the tape: ${told}${shown}`, { data })
  }

  /** Neither the tape nor the server of `onMiss` has an answer. */
  unanswered(message: Message, miss: Miss, reason: string): void {
    this.missed(message, { ...miss, text: `${miss.text}; and the server of --on-miss failed: ${reason}` })
  }

  diverged(finding: ReplayFinding): void {
    const printed = this.report.diverged(finding)
    this.#log.warn('replay-divergence', findingText(printed), { ...printed })
  }

  fault(kind: FaultRule['kind'], { method, subject, place }: RecordedRequest): void {
    this.report.fault(kind)
    const what = subject === undefined ? method : `${method} ${subject}`
    this.#log.info('replay-fault', `${kind} on purpose: ${what} (${place.file}:${place.line})`, { fault: kind, method })
  }

  /** A request that is on the tape but for what the client answers in it. Returns the error for the client, if it is one. */
  answersOtherwise({ request, otherwise }: Hit): CatflapError | undefined {
    if (!otherwise) return undefined
    const { method, place } = request
    const text = `The client answers what ${method} asked otherwise than recorded.`
    this.diverged({ method, ...placed(place), text, difference: otherwise })
    return this.onDivergence === 'error' ? divergence(text, method, otherwise) : undefined
  }

  /** A message that cannot be said again is left out. */
  unreadable({ method, place }: Said): void {
    this.#log.warn('replay-left-out', `${place.file}:${place.line}: ${method} is not whole on the tape, and left out`)
  }

  unreadableAnswer(request: RecordedRequest): CatflapError {
    const { place } = request
    const text = 'the recorded answer is no JSON-RPC message, or the tape was changed'
    this.report.missed({ method: request.method, ...placed(place), text })
    return new CatflapError('replay_miss', `Not on the tape: ${text} (${basename(place.file)}:${place.line}).`)
  }

  /** The next session whose client began like this one. */
  conversationLike(initialize: Message, name: string | undefined): Conversation | undefined {
    return this.#beginnings.like(initialize, name)
  }

  /** What the server said of the session at large behind this. */
  after(step: Step): readonly Said[] {
    this.#moved ??= movedOf(this.recording.legacy)
    const moved = this.#moved.size > 0 ? this.#moved.get(step.order) : undefined
    return moved ? [...step.after, ...moved] : step.after
  }

  indexOf(conversation: Conversation): ConversationIndex {
    let index = this.#indexes.get(conversation)
    if (!index) {
      index = new ConversationIndex(conversation)
      this.#indexes.set(conversation, index)
    }
    return index
  }

  liveServer(session: ReplaySession, outlet: Outlet): LiveServer | undefined {
    return this.#openLive?.(session, outlet)
  }

  summary(): ReplaySummary {
    const { legacy, modern } = this.#matchers
    const isDone = (request: RecordedRequest): boolean =>
      this.#used.has(request.order) || legacy?.wasRefusedUnread(request) || modern?.wasRefusedUnread(request) || false
    return this.report.summary(this.recording, isDone, this.faults.any ? this.faults.seed : undefined)
  }

  /** What clients wait for comes without its pauses. */
  hurry(): void {
    this.speed = Number.POSITIVE_INFINITY
    for (const { schedule } of this.#sessions) schedule.hurry()
  }

  async close(): Promise<void> {
    await Promise.all([...this.#sessions].map(session => session.close()))
    this.recording.close()
  }
}

async function rulesOf({ rules }: TapeTargetOptions, files: readonly string[]): Promise<Rules> {
  if (rules !== undefined) return await readRules(rules)
  return files[0] === undefined ? DEFAULT_RULES : await rulesBeside(files[0])
}

function placeText({ place }: RecordedRequest): string {
  return `${place.file}:${place.line}`
}
