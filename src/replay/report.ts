import { CatflapError } from '../errors.ts'
import { MARK } from '../tape/format.ts'
import { isSecretName } from '../tape/secret-names.ts'
import type { FaultKind } from './faults.ts'
import type { RecordedRequest, Recording, TapePlace } from './recording.ts'
import { isOwnBeginning } from './refused-beginnings.ts'
import { stepsInTurn } from './steps-of.ts'

/** What became of a replay so far. */
export interface ReplaySummary {
  /** Replay sessions that were begun. */
  readonly sessions: number
  readonly requests: number
  readonly hits: number
  /** Requests that were not on the tape, and that the server of `onMiss` was asked. */
  readonly asked: number
  /** Requests that are not on the tape, and that no server has answered either. */
  readonly misses: number
  /** Clients answered the server's questions otherwise than recorded. */
  readonly divergences: number
  /** Recorded requests that nobody made. */
  readonly unused: number
  readonly faults: Readonly<Partial<Record<FaultKind, number>>>
  /** The first of each, with what there is to say about it. */
  readonly details: {
    readonly misses: readonly ReplayFinding[]
    readonly divergences: readonly ReplayFinding[]
    readonly unused: readonly ReplayFinding[]
  }
  /** What made the faults what they were, where there were any. */
  readonly seed?: number
}

export interface ReplayFinding {
  readonly method: string
  /** Tool, prompt or URI. */
  readonly subject?: string
  /** On the tape: the closest recorded request, the recorded answer, or the request itself. */
  readonly file?: string
  readonly line?: number
  /** One sentence. */
  readonly text: string
  /** Recorded → seen, as readable lines. */
  readonly difference?: readonly string[]
}

/** Of each kind, so many are kept. */
const MAX_DETAILS = 100

/** Counts what happens in a replay. */
export class ReplayReport {
  sessions = 0
  requests = 0
  hits = 0
  asked = 0
  #misses = 0
  #divergences = 0
  readonly #missed: ReplayFinding[] = []
  readonly #diverged: ReplayFinding[] = []
  readonly #faults: Partial<Record<FaultKind, number>> = {}

  /** Returns it as it may be shown. */
  missed(finding: ReplayFinding): ReplayFinding {
    this.#misses++
    return noted(this.#missed, finding)
  }

  /** Returns it as it may be shown. */
  diverged(finding: ReplayFinding): ReplayFinding {
    this.#divergences++
    return noted(this.#diverged, finding)
  }

  fault(kind: FaultKind): void {
    this.#faults[kind] = (this.#faults[kind] ?? 0) + 1
  }

  summary(
    recording: Recording,
    isDone: (request: RecordedRequest) => boolean,
    seed: number | undefined
  ): ReplaySummary {
    const { count, first } = unusedOf(recording, isDone)
    return {
      sessions: this.sessions,
      requests: this.requests,
      hits: this.hits,
      asked: this.asked,
      misses: this.#misses,
      divergences: this.#divergences,
      unused: count,
      faults: { ...this.#faults },
      details: { misses: [...this.#missed], divergences: [...this.#diverged], unused: first },
      ...(seed !== undefined && { seed })
    }
  }
}

function noted(list: ReplayFinding[], finding: ReplayFinding): ReplayFinding {
  const { difference } = finding
  const shown = difference ? { ...finding, difference: difference.map(withoutSecret) } : finding
  if (list.length < MAX_DETAILS) list.push(shown)
  return shown
}

/** Of what is called a password, only that it differs. What the values look like says nothing there, so their path has to. */
function withoutSecret(line: string): string {
  const path = line.slice(0, Math.max(0, line.indexOf(': ')))
  return path.split(/[.[\]"]+/).some(isSecretName) ? `${path}: ${MARK}` : line
}

function unusedOf(
  recording: Recording,
  isDone: (request: RecordedRequest) => boolean
): { count: number; first: ReplayFinding[] } {
  const first: ReplayFinding[] = []
  let count = 0
  for (const conversation of [...recording.legacy, ...(recording.modern ? [recording.modern] : [])])
    for (const [, step] of stepsInTurn(conversation)) {
      if (step.kind !== 'request' || isDone(step) || isOwnBeginning(conversation, step)) continue
      if (++count > MAX_DETAILS) continue
      const { method, subject } = step
      first.push({ method, ...(subject !== undefined && { subject }), ...placed(step.place), text: 'never asked for' })
    }
  return { count, first }
}

/** What a client is told that answers otherwise than recorded. */
export function divergence(text: string, method: string, difference: readonly string[]): CatflapError {
  const data = { method, difference }
  return new CatflapError('replay_diverged', `${text} ${difference.slice(0, 3).join('; ')}`, { data })
}

export function placed({ file, line }: TapePlace): { file: string; line: number } {
  return { file, line }
}

/** For people: what it was about, and where it stands. */
export function findingText(finding: ReplayFinding): string {
  const { file, line, text } = finding
  const where = file === undefined ? '' : ` (${file}:${line})`
  return `${aboutText(finding)}${where}: ${text}${differenceOf(finding)}`
}

/** The same for a miss, whose text says where the closest request stands. */
export function missText(finding: ReplayFinding): string {
  return `${aboutText(finding)}: ${finding.text}${differenceOf(finding)}`
}

function aboutText({ method, subject }: ReplayFinding): string {
  return subject === undefined ? method : `${method} ${subject}`
}

function differenceOf({ difference = [] }: ReplayFinding): string {
  return difference.length > 0 ? `: ${difference.slice(0, 3).join('; ')}` : ''
}
