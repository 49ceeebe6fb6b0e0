import type { Message } from '../protocol/message.ts'
import { AnswerRules } from './answer-rules.ts'
import { parseJson } from './canonical.ts'
import { differenceText } from './json-diff.ts'
import type { RecordedAnswer, Recording, Said } from './recording.ts'
import type { Rules } from './rules.ts'
import { textOf } from './spoken.ts'
import { isObject } from './values.ts'
import type { Moments } from './volatile.ts'

/** Lines that tell in what an answer differs. */
const MAX_LINES = 10

/** Compares what clients answer with what was recorded, as the rules have it. */
export class Divergences {
  readonly #rules: AnswerRules
  /** When each tape began. */
  readonly #started = new Map<string, number>()

  constructor({ tapes }: Recording, rules: Rules) {
    this.#rules = new AnswerRules(rules)
    for (const { file, started } of tapes) this.#started.set(file, Date.parse(started))
  }

  /** Recorded → given, as readable lines. */
  of({ method }: Said, answer: RecordedAnswer, given: Message): string[] {
    const text = textOf(answer.text)
    if (text === undefined) return []
    try {
      const about = { method, moments: this.#momentsOf(answer), limit: MAX_LINES }
      return this.#rules.differences(partsOf(text), partsOf(given.bytes.toString()), about).map(differenceText)
    } catch (error) {
      if (error instanceof SyntaxError) return [error.message]
      throw error
    }
  }

  #momentsOf({ place, at }: RecordedAnswer): Moments | undefined {
    const started = this.#started.get(place.file)
    return started === undefined || Number.isNaN(started) ? undefined : { before: started + at, after: Date.now() }
  }
}

/** Without what differs in any case. */
function partsOf(text: string): unknown {
  const value = parseJson(text)
  if (!isObject(value)) return value
  const { result, error } = value
  if (!isObject(result)) return error === undefined ? { result } : { error }
  const { _meta, ...rest } = result
  return { result: rest }
}
