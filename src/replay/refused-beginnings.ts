import type { Conversation, RecordedRequest, Step } from './recording.ts'
import { hasStep, stepAt, stepsInTurn } from './steps-of.ts'

/** An `initialize` that began nothing: 401, 503, an error, a connection that broke. */
export function isRefusedBeginning({ method, outcome }: RecordedRequest): boolean {
  return method === 'initialize' && (outcome.kind !== 'response' || outcome.isError)
}

/**
 * When clients are refused at the door. They try again in a session of their own, which knows nothing of the first, so that turns are
 * counted over the whole tape: each refusal is told once, when as many have begun before as did on the tape.
 */
export class RefusedBeginnings {
  readonly #beginnings: readonly RecordedRequest[]
  /** Where nobody was ever let in. */
  readonly #always: RecordedRequest | undefined
  #next = 0

  constructor(conversations: readonly Conversation[]) {
    const added = addedSessions(conversations)
    const all = conversations
      .filter(one => !added.has(one))
      .flatMap(initializesOf)
      .filter(({ outcome }) => outcome.kind !== 'open')
    this.#beginnings = all.sort((a, b) => a.order - b.order)
    this.#always = all.every(isRefusedBeginning) ? all.at(-1) : undefined
  }

  /** Takes the next turn. Undefined: this client is let in. */
  take(): RecordedRequest | undefined {
    const next = this.#beginnings[this.#next]
    if (!next) return this.#always
    this.#next++
    return isRefusedBeginning(next) ? next : undefined
  }
}

/** Sessions that only add what was missing, where there are others: what they have is no client's way through a conversation. */
export function addedSessions(conversations: readonly Conversation[]): ReadonlySet<Conversation> {
  const added = conversations.filter(one => one.added)
  return new Set(added.length < conversations.length ? added : [])
}

/** The `initialize` of such a session, which no client is to make again. */
export function isOwnBeginning({ added }: Conversation, { method }: RecordedRequest): boolean {
  return added && method === 'initialize'
}

/** Those where a client was let in, or none ever asked; all, where there are none of these. */
export function begunConversations(conversations: readonly Conversation[]): readonly Conversation[] {
  const added = addedSessions(conversations)
  const begun = conversations.filter(conversation => {
    if (added.has(conversation)) return false
    const all = initializesOf(conversation)
    return all.length === 0 || !all.every(isRefusedBeginning)
  })
  return begun.length > 0 ? begun : conversations
}

/** The first in which something was answered though nobody had begun: a server without sessions, or the later part of one. */
export function unbegunConversation(conversations: readonly Conversation[]): Conversation | undefined {
  return conversations.find(conversation => initializesOf(conversation).length === 0 && hasStep(conversation, isServed))
}

/** Servers with sessions refuse who has none (spec 2025-11-25 basic/transports, "Session Management"). */
function isServed(step: Step): boolean {
  if (step.kind !== 'request') return false
  const { outcome } = step
  return outcome.kind === 'response' && !outcome.own && (outcome.status ?? 200) === 200
}

function initializesOf(conversation: Conversation): RecordedRequest[] {
  const found: RecordedRequest[] = []
  for (const [number, step] of stepsInTurn(conversation))
    if (step.kind === 'request' && step.method === 'initialize')
      found.push(stepAt(conversation, number) as RecordedRequest)
  return found
}
