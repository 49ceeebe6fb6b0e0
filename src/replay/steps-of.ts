import type { Conversation, Step } from './recording.ts'

/** Each step in turn, for those who keep none of them. */
export function stepsInTurn({ steps }: Conversation): Iterable<Step> {
  return steps
}

export function stepAt({ steps }: Conversation, i: number): Step {
  return steps[i]!
}
