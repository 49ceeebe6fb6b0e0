import { isDeepStrictEqual } from 'node:util'
import type { Message } from '../protocol/message.ts'
import { parseJson } from './canonical.ts'
import type { Conversation } from './recording.ts'
import { textOf } from './spoken.ts'
import { stepsInTurn } from './steps-of.ts'
import { isObject, type JsonObject } from './values.ts'

/** Of so many names it is remembered which sessions they had. */
const MAX_NAMES = 1000

/**
 * Of several recorded sessions, the one whose client has begun most like this one. Of those that began alike each client has the
 * next, and the first again when all were had: a client that begins anew has what it had then.
 */
export class Beginnings {
  readonly #conversations: readonly Conversation[]
  /** How often each was had, for each name that clients give. */
  readonly #had = new Map<string, number[]>()
  /** What their clients said in `initialize`; read when it is first needed. */
  #recorded: readonly (JsonObject | undefined)[] | undefined

  constructor(conversations: readonly Conversation[]) {
    this.#conversations = conversations
  }

  /** Clients that give a name share the recorded sessions with those of the same name alone. */
  like(initialize: Message, name = ''): Conversation | undefined {
    if (this.#conversations.length <= 1) return this.#conversations[0]
    this.#recorded ??= this.#conversations.map(beginningOf)
    const given = paramsOf(initialize.bytes.toString())
    const had = this.#hadBy(name)
    let best = 0
    let most = -1
    for (const [i, recorded] of this.#recorded.entries()) {
      const alike = recorded ? likeness(recorded, given) : 0
      if (alike < most || (alike === most && had[i]! >= had[best]!)) continue
      most = alike
      best = i
    }
    had[best]!++
    return this.#conversations[best]
  }

  #hadBy(name: string): number[] {
    const had = this.#had.get(name) ?? this.#conversations.map(() => 0)
    // The name that was used last stands last.
    this.#had.delete(name)
    this.#had.set(name, had)
    if (this.#had.size > MAX_NAMES) this.#had.delete(this.#had.keys().next().value!)
    return had
  }
}

function likeness(recorded: JsonObject, given: JsonObject): number {
  const alike = (key: string): boolean => isDeepStrictEqual(recorded[key], given[key])
  return 1 + (alike('clientInfo') ? 4 : 0) + (alike('capabilities') ? 2 : 0) + (alike('protocolVersion') ? 1 : 0)
}

function beginningOf(conversation: Conversation): JsonObject | undefined {
  for (const [, step] of stepsInTurn(conversation))
    if (step.kind === 'request' && step.method === 'initialize') {
      const text = step.truncated ? undefined : textOf(step.text)
      return text === undefined ? undefined : paramsOf(text)
    }
  return undefined
}

function paramsOf(text: string): JsonObject {
  const message = parseJson(text)
  const params = isObject(message) ? message.params : undefined
  return isObject(params) ? params : {}
}
