import { ConversationBuilder } from './conversation-builder.ts'
import type { Conversations } from './conversations.ts'
import { type CutOnTape, StatusOnTape } from './on-tape.ts'
import type { TapeRead } from './read-recording.ts'
import type { Recording } from './recording.ts'
import type { StepOn } from './steps.ts'
import type { TapeBuilder } from './tape-builder.ts'

/** Things that have a place in the order. */
interface Ordered {
  order: number
  readonly at: number
}

/** One recording of all tapes: their times count from the start of the first, and what happened stands in one order. */
export function joinTapes(tapes: readonly TapeRead[]): Recording {
  if (tapes.length > 1) inOneOrder(tapes)
  // What was needed to read them must not be held by what is handed over.
  const sources = tapes.map(({ source }) => source)
  const legacy = tapes.flatMap(({ builder }) => builder.conversations.legacy)
  const [first, ...others] = tapes.flatMap(({ builder }) => builder.conversations.modern ?? [])
  if (others.length > 0) first?.join(others)
  const conversations = withoutSession(legacy)
    .map(conversation => ({ conversation, first: conversation.firstOrder }))
    .sort((a, b) => a.first - b.first)
    .map(({ conversation }) => conversation)
  return {
    tapes: tapes.map(({ tape }) => tape),
    legacy: conversations,
    modern: first,
    counts: {
      requests: tapes.reduce((sum, { builder }) => sum + builder.requests, 0),
      frames: tapes.reduce((sum, { frames }) => sum + frames, 0)
    },
    close() {
      for (const source of sources) source.close()
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
  if (loose.length === 1 && loose[0]!.session === undefined) return [...conversations]
  const all = new ConversationBuilder(loose[0]!.table, 'legacy', undefined)
  all.join(loose)
  const isLoose = new Set(loose)
  return [...conversations.filter(c => !isLoose.has(c)), all]
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

function* thingsOf(conversations: Conversations): Generator<Ordered, void, void> {
  for (const { table, beforeList } of allOf(conversations)) yield* table.sayings.glimpses(beforeList)
  for (const step of stepsOf(conversations)) {
    yield step
    yield* step.allAfter()
    if (step.kind !== 'request') continue
    yield* step.allSaid()
    if (step.cancelled) yield step.cancelled
    if (step.ending) yield step.ending
  }
}

/** What holds its time itself. */
function* cutsOf(conversations: Conversations): Generator<{ at: number }, void, void> {
  for (const step of stepsOf(conversations)) {
    if (step.kind !== 'request') continue
    if (step.cancelled) yield step.cancelled
    if (step.isCut) yield step.outcome as CutOnTape
  }
}

function* stepsOf(conversations: Conversations): Generator<StepOn, void, void> {
  for (const conversation of allOf(conversations))
    for (const row of conversation.rows()) yield conversation.table.glimpse(row)
}

function allOf({ legacy, modern }: Conversations): readonly ConversationBuilder[] {
  return modern ? [...legacy, modern] : legacy
}
