import { ConversationBuilder } from './conversation-builder.ts'
import type { Conversation, Step } from './recording.ts'

/**
 * Each step in turn, with a number by which it can be had again. It is for those who keep the number alone: of a long conversation, all
 * steps at once take more room than the tape's own columns.
 */
export function* stepsInTurn(conversation: Conversation): Generator<readonly [number: number, step: Step], void, void> {
  if (conversation instanceof ConversationBuilder) {
    const { table } = conversation
    for (const row of conversation.rows()) yield [row, table.glimpse(row)]
  } else yield* conversation.steps.entries()
}

export function stepAt(conversation: Conversation, number: number): Step {
  return conversation instanceof ConversationBuilder ? conversation.table.at(number) : conversation.steps[number]!
}

export function hasStep(conversation: Conversation, is: (step: Step) => boolean): boolean {
  for (const [, step] of stepsInTurn(conversation)) if (is(step)) return true
  return false
}
