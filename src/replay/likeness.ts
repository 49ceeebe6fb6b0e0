import { isDeepStrictEqual } from 'node:util'
import type { Message } from '../protocol/message.ts'
import { parseJson } from './canonical.ts'
import type { Conversation } from './recording.ts'
import { textOf } from './spoken.ts'
import { isObject, type JsonObject } from './values.ts'

/** Of several recorded sessions, the one whose client has begun most like this one; else the first. */
export class Beginnings {
  readonly #conversations: readonly Conversation[]
  /** What their clients said in `initialize`; read when it is first needed. */
  #recorded: readonly (JsonObject | undefined)[] | undefined

  constructor(conversations: readonly Conversation[]) {
    this.#conversations = conversations
  }

  like(initialize: Message): Conversation | undefined {
    if (this.#conversations.length <= 1) return this.#conversations[0]
    this.#recorded ??= this.#conversations.map(beginningOf)
    const given = paramsOf(initialize.bytes.toString())
    let best = 0
    let most = -1
    for (const [i, recorded] of this.#recorded.entries()) {
      const alike = recorded ? likeness(recorded, given) : 0
      if (alike <= most) continue
      most = alike
      best = i
    }
    return this.#conversations[best]
  }
}

function likeness(recorded: JsonObject, given: JsonObject): number {
  const alike = (key: string): boolean => isDeepStrictEqual(recorded[key], given[key])
  return 1 + (alike('clientInfo') ? 4 : 0) + (alike('capabilities') ? 2 : 0) + (alike('protocolVersion') ? 1 : 0)
}

function beginningOf({ steps }: Conversation): JsonObject | undefined {
  for (const step of steps)
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
