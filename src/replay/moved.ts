import type { Conversation, Said } from './recording.ts'
import { stepsInTurn } from './steps-of.ts'

/**
 * What the server said behind a GET, which a replay may not have: it counts as said behind what the client did before, which is told
 * by its order.
 */
export function movedOf(conversations: readonly Conversation[]): ReadonlyMap<number, readonly Said[]> {
  const moved = new Map<number, readonly Said[]>()
  for (const conversation of conversations) {
    let last: number | undefined
    for (const [, step] of stepsInTurn(conversation))
      if (step.kind === 'listen') {
        if (last !== undefined && step.after.length > 0) moved.set(last, [...(moved.get(last) ?? []), ...step.after])
      } else if (step.kind !== 'end') last = step.order
  }
  return moved
}
