import { parseJson } from '../replay/canonical.ts'
import type {
  Conversation,
  RecordedAnswer,
  RecordedNotification,
  RecordedRequest,
  Recording,
  Said,
  Step,
  TapePlace
} from '../replay/recording.ts'
import { VerifyRefusal } from './options.ts'

/** What carries a message of the client's. */
export type Spoken = RecordedRequest | RecordedNotification | RecordedAnswer

/** One step of one conversation. */
export interface Act {
  readonly conversation: Conversation
  readonly step: Step | Leaving
  readonly order: number
}

/** The client left before its answer came. */
export interface Leaving {
  readonly kind: 'leave'
  readonly request: RecordedRequest
}

/** All that is to be done, in the order in which it was recorded. */
export interface Plan {
  readonly conversations: readonly Conversation[]
  readonly acts: readonly Act[]
}

/** Throws VerifyRefusal for a session that is not on the tape. */
export function planOf(recording: Recording, sessions: readonly string[] | undefined): Plan {
  const all = [...recording.legacy, ...(recording.modern ? [recording.modern] : [])]
  const conversations = sessions ? all.filter(c => sessions.includes(handleOf(c))) : all
  const missing = sessions?.filter(name => !all.some(c => handleOf(c) === name)) ?? []
  if (missing.length > 0) {
    const known = all.slice(0, MAX_NAMES).map(handleOf).join(', ') || 'none'
    throw new VerifyRefusal([`no session ${missing.join(', ')} is on the tape; there are: ${known}`])
  }
  return { conversations, acts: conversations.flatMap(actsOf).sort((a, b) => a.order - b.order) }
}

function actsOf(conversation: Conversation): Act[] {
  return conversation.steps.flatMap((step): Act[] => {
    const act = { conversation, step, order: step.order }
    if (step.kind !== 'request' || step.cancelled?.how !== 'disconnect') return [act]
    return [act, { conversation, step: { kind: 'leave', request: step }, order: step.cancelled.order }]
  })
}

const MAX_NAMES = 20

/** What the options call it: requests of the modern era have no session, nor do some of the legacy era. */
export function handleOf({ session, era }: Conversation): string {
  return session ?? (era === 'modern' ? 'modern' : 'none')
}

export function isSpoken(step: Act['step']): step is Spoken {
  return step.kind === 'request' || step.kind === 'notification' || step.kind === 'answer'
}

/** The message as a value; undefined where the tape holds only its beginning. */
export function jsonOf(spoken: Spoken): unknown {
  if (spoken.kind === 'request' && spoken.truncated) return undefined
  try {
    return parseJson(spoken.text.get())
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

/** What the server answered on the tape, as a value; undefined where that is no whole message. */
export function answerOf(request: RecordedRequest): unknown {
  const { outcome } = request
  if (outcome.kind !== 'response' || outcome.truncated) return undefined
  try {
    return parseJson(outcome.text.get())
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

/** Everything the server said in a conversation, in order. */
export function allSaid({ before, steps }: Conversation): Said[] {
  return [...before, ...steps.flatMap(step => [...(step.kind === 'request' ? step.said : []), ...step.after])].sort(
    (a, b) => a.order - b.order
  )
}

/** When it was over on the tape. */
export function lastOrderOf({ steps }: Conversation): number {
  let last = 0
  for (const step of steps) {
    last = Math.max(last, step.order)
    if (step.kind === 'request' && step.outcome.kind !== 'open') last = Math.max(last, step.outcome.order)
  }
  return last
}

/** A step in a few words: `tools/call echo (a.tape.jsonl:12)`. */
export function nameOf(step: Spoken): string {
  const what = step.kind === 'answer' ? `the answer to ${step.to?.method ?? 'the server'}` : step.method
  const subject = step.kind === 'request' && step.subject !== undefined ? ` ${step.subject}` : ''
  return `${what}${subject} (${step.place.file}:${step.place.line})`
}

/** What stands in a report. */
export function placeFacts({ file, line }: TapePlace): TapePlace {
  return { file, line }
}

/** The tape ends before the answer, of which it can therefore say nothing. A subscription has none while it lasts. */
export function isUnanswered({ outcome, cancelled, method }: RecordedRequest): boolean {
  return outcome.kind === 'open' && !cancelled && method !== 'subscriptions/listen'
}

/** The requests of one batch stand together. */
export function batchAt(acts: readonly Act[], at: number): readonly Act[] {
  const { conversation, step } = acts[at]!
  if (step.kind !== 'request' || step.batch === undefined) return [acts[at]!]
  let end = at + 1
  while (end < acts.length) {
    const next = acts[end]!
    if (next.conversation !== conversation || next.step.kind !== 'request' || next.step.batch !== step.batch) break
    end++
  }
  return acts.slice(at, end)
}
