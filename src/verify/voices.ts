import { parseJson } from '../replay/canonical.ts'
import type { Conversation, RecordedRequest, Said } from '../replay/recording.ts'
import { allSaid } from './plan.ts'
import { UnderWay } from './under-way.ts'

/** Something that the server said of its own accord, then or now. */
export interface Voice {
  readonly method: string
  /** What is compared of it. */
  readonly body: unknown
  /** Whose it is; of what is said at large, the only request that was under way. */
  readonly asked: RecordedRequest | undefined
  /** When, in ms since 1970. */
  readonly moment: number | undefined
  /** The tape holds only its beginning. */
  readonly truncated: boolean
  /** That it comes, and where, is left to chance. */
  readonly isChance: boolean
}

/** More than this is not compared. */
export const MAX_VOICES = 10_000

/** What is compared of a message: its id is the client's, and the rest is framing. */
export function bodyOf(json: unknown): unknown {
  if (typeof json !== 'object' || json === null) return json
  const kept = ['method', 'params', 'result', 'error'].filter(key => Object.hasOwn(json, key))
  return Object.fromEntries(kept.map(key => [key, (json as Record<string, unknown>)[key]]))
}

/** Text that is no JSON counts as the text that it is. */
export function jsonOf(text: string): unknown {
  try {
    return parseJson(text)
  } catch {
    return text
  }
}

/** Of the session at large: no stream, token or subscription says whose it is. */
export function isAtLarge({ id, own, owned, names }: Said): boolean {
  return id === undefined && !own && !owned && names === undefined
}

/** What was said to the session at large when it was recorded. `momentOf` in ms since 1970. */
export function recordedVoices(
  conversation: Conversation,
  isSure: (request: RecordedRequest) => boolean,
  momentOf: (said: Said) => number | undefined
): Voice[] {
  const underWay = new UnderWay(isSure)
  const voices: Voice[] = []
  for (const { said, happened } of eventsOf(conversation)) {
    happened?.(underWay)
    if (!said || voices.length >= MAX_VOICES) continue
    voices.push({
      method: said.method,
      body: bodyOf(jsonOf(said.text.get())),
      asked: underWay.only,
      moment: momentOf(said),
      truncated: said.truncated,
      isChance: said.truncated || underWay.isChance(said.at)
    })
  }
  return voices
}

interface Happening {
  readonly order: number
  readonly said?: Said
  readonly happened?: (underWay: UnderWay) => void
}

function eventsOf(conversation: Conversation): Happening[] {
  const events: Happening[] = allSaid(conversation)
    .filter(isAtLarge)
    .map(said => ({ order: said.order, said }))
  for (const step of conversation.steps) {
    const { at, order } = step
    if (step.kind !== 'request') {
      events.push({ order, happened: underWay => underWay.touched(at) })
      continue
    }
    events.push({ order, happened: underWay => underWay.began(step, step, at) })
    const { outcome, cancelled } = step
    const isAnswered = outcome.kind === 'response' || outcome.kind === 'status'
    const end = isAnswered || !cancelled ? outcome : cancelled
    if ('order' in end) events.push({ order: end.order, happened: underWay => underWay.over(step, end.at, isAnswered) })
  }
  return events.sort((a, b) => a.order - b.order)
}
