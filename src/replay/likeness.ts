import { isDeepStrictEqual } from 'node:util'
import type { Message } from '../protocol/message.ts'
import { parseJson } from './canonical.ts'
import type { Conversation } from './recording.ts'
import { isObject } from './values.ts'

/** How much a recorded session's client is like this one, by what both said in `initialize`. */
export function likeness({ steps }: Conversation, initialize: Message): number {
  for (const step of steps) {
    if (step.kind !== 'request' || step.method !== 'initialize') continue
    if (step.truncated) return 0
    const recorded = paramsOf(step.text.get())
    const given = paramsOf(initialize.bytes.toString())
    const alike = (key: string): boolean => isDeepStrictEqual(recorded[key], given[key])
    return 1 + (alike('clientInfo') ? 4 : 0) + (alike('capabilities') ? 2 : 0) + (alike('protocolVersion') ? 1 : 0)
  }
  return 0
}

function paramsOf(text: string): Readonly<Record<string, unknown>> {
  const message = parseJson(text)
  const params = isObject(message) ? message.params : undefined
  return isObject(params) ? params : {}
}
