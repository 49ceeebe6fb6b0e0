import { ConversationBuilder } from './conversation-builder.ts'
import type { Conversations } from './conversations.ts'
import type { TapeRead } from './read-recording.ts'
import type { Recording } from './recording.ts'
import { type CutOnTape, type SaidOnTape, StatusOnTape } from './steps.ts'
import type { TapeBuilder } from './tape-builder.ts'

/** Things that have a place in the order. */
interface Ordered {
  order: number
  readonly at: number
}

/** One recording of all tapes: their times count from the start of the first, and what happened stands in one order. */
export function joinTapes(tapes: readonly TapeRead[]): Recording {
  if (tapes.length > 1) inOneOrder(tapes)
  const legacy = tapes.flatMap(({ builder }) => builder.conversations.legacy)
  const [first, ...others] = tapes.flatMap(({ builder }) => builder.conversations.modern ?? [])
  for (const other of others) first?.join(other)
  const conversations = withoutSession(legacy).sort((a, b) => firstOrder(a) - firstOrder(b))
  return {
    tapes: tapes.map(({ tape }) => tape),
    legacy: conversations,
    modern: first,
    counts: {
      requests: tapes.reduce((sum, { builder }) => sum + builder.requests, 0),
      frames: tapes.reduce((sum, { frames }) => sum + frames, 0)
    },
    close() {
      for (const { source } of tapes) source.close()
    }
  }
}

/**
 * What came without any session is one conversation, also the `initialize` with which a client asked for a session that the
 * server then did not give.
 */
function withoutSession(conversations: readonly ConversationBuilder[]): ConversationBuilder[] {
  const loose = conversations.filter(c => c.session === undefined || c.unassigned)
  if (loose.length === 0) return [...conversations]
  const all =
    loose.length === 1 && loose[0]!.session === undefined ? loose[0]! : new ConversationBuilder('legacy', undefined)
  for (const conversation of loose) if (conversation !== all) all.join(conversation)
  return [...conversations.filter(c => !loose.includes(c)), all]
}

function firstOrder({ before, steps }: ConversationBuilder): number {
  return Math.min(before[0]?.order ?? Number.POSITIVE_INFINITY, steps[0]?.order ?? Number.POSITIVE_INFINITY)
}

/** Order across tapes is told by their start and the time since then; within a tape it stays. */
function inOneOrder(tapes: readonly TapeRead[]): void {
  const starts = tapes.map(({ tape }) => Date.parse(tape.started))
  const first = Math.min(...starts)
  for (const [i, { source, builder }] of tapes.entries()) {
    source.base = starts[i]! - first
    for (const step of cutsOf(builder.conversations)) step.at += source.base
  }
  const times = tapes.map(({ builder }) => timesOf(builder))
  const numbers = mergedOrder(times)
  for (const [i, { builder }] of tapes.entries()) {
    const renumbered = new Set<Ordered>()
    for (const thing of thingsOf(builder.conversations)) {
      // One answer may be that of a whole batch.
      if (renumbered.has(thing)) continue
      if (thing instanceof StatusOnTape) renumbered.add(thing)
      thing.order = numbers[i]![thing.order]!
    }
  }
}

/** When each of a tape's things happened; times never run back. */
function timesOf(builder: TapeBuilder): Float64Array {
  const times = new Float64Array(builder.orders)
  for (const thing of thingsOf(builder.conversations)) times[thing.order] = thing.at
  for (let i = 1; i < times.length; i++) times[i] = Math.max(times[i]!, times[i - 1]!)
  return times
}

/** For each tape's order the one among all. */
function mergedOrder(times: readonly Float64Array[]): Uint32Array[] {
  const all = new Float64Array(times.reduce((sum, { length }) => sum + length, 0))
  const numbers = times.map(({ length }) => new Uint32Array(length))
  const tapeOf = new Uint32Array(all.length)
  const orderOf = new Uint32Array(all.length)
  let at = 0
  for (const [tape, some] of times.entries())
    for (const [order, time] of some.entries()) {
      all[at] = time
      tapeOf[at] = tape
      orderOf[at++] = order
    }
  const sorted = new Uint32Array(all.length).map((_, i) => i).sort((a, b) => all[a]! - all[b]! || a - b)
  for (const [number, i] of sorted.entries()) numbers[tapeOf[i]!]![orderOf[i]!] = number
  return numbers
}

function* thingsOf({ legacy, modern }: Conversations): Generator<Ordered, void, void> {
  for (const { before, steps } of modern ? [...legacy, modern] : legacy) {
    yield* before as readonly SaidOnTape[]
    for (const step of steps) {
      yield step
      yield* step.after as readonly SaidOnTape[]
      if (step.kind !== 'request') continue
      yield* step.said as readonly SaidOnTape[]
      if (step.cancelled) yield step.cancelled
      if (step.outcome.kind !== 'open') yield step.outcome as Ordered
    }
  }
}

/** What holds its time itself. */
function* cutsOf({ legacy, modern }: Conversations): Generator<{ at: number }, void, void> {
  for (const { steps } of modern ? [...legacy, modern] : legacy)
    for (const step of steps) {
      if (step.kind !== 'request') continue
      if (step.cancelled) yield step.cancelled
      if (step.outcome.kind === 'cut') yield step.outcome as CutOnTape
    }
}
