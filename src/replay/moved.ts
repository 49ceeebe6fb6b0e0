import type { Conversation, Said, Step } from './recording.ts'

/** What the server said behind a GET, which a replay may not have: it counts as said behind what the client did before. */
export function movedOf(conversations: readonly Conversation[]): ReadonlyMap<Step, readonly Said[]> {
  const moved = new Map<Step, readonly Said[]>()
  for (const { steps } of conversations) {
    let last: Step | undefined
    for (const step of steps)
      if (step.kind === 'listen') {
        if (last && step.after.length > 0) moved.set(last, [...(moved.get(last) ?? []), ...step.after])
      } else if (step.kind !== 'end') last = step
  }
  return moved
}
