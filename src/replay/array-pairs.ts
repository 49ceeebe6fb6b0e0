import { canonicalText } from './canonical.ts'

/** Positions of what belongs together; undefined where the other side has nothing. */
export interface ArrayPair {
  readonly old: number | undefined
  readonly new: number | undefined
}

export interface ArrayPairs {
  readonly pairs: readonly ArrayPair[]
  /** What both hold stands in another order. */
  readonly order?: { readonly old: readonly unknown[]; readonly new: readonly unknown[] }
}

type IsSame = (oldIndex: number, before: unknown, after: unknown) => boolean

export interface Pairing {
  readonly unordered: boolean
  readonly isSame: IsSame
  /** Whether a name may stand for another one, as those do that are made up anew each time. */
  readonly mayStandFor: (oldIndex: number, member: string, before: unknown, after: unknown) => boolean
}

/**
 * Objects that have names are paired by name, so that one that was added is one difference. Else what is equal at both ends
 * is, and what is between is paired by position. Linear, but for comparing.
 */
export function pairsOf(before: readonly unknown[], after: readonly unknown[], pairing: Pairing): ArrayPairs {
  const member = NAMING.find(name => areNamed(before, name) && areNamed(after, name))
  if (member !== undefined && tellsApart(member, before, after, pairing)) return byName(before, after, member)
  const { unordered, isSame } = pairing
  return { pairs: unordered ? bySet(before, after, isSame) : byPosition(before, after, isSame) }
}

/** Members that tell objects of a list apart. */
export const NAMING: readonly string[] = ['name', 'uri', 'uriTemplate', 'id']

/** Names that do not count, or that change by themselves, say nothing about which object is which. */
function tellsApart(
  member: string,
  before: readonly unknown[],
  after: readonly unknown[],
  { isSame, mayStandFor }: Pairing
): boolean {
  const [old, now] = [before, after].map(items => items.map(item => nameOf(item, member)))
  const [known, found] = [new Set(old), new Set(now)]
  const gone = range(0, before.length).filter(i => !found.has(old![i]))
  const come = range(0, after.length).filter(i => !known.has(now![i]))
  if (gone.length === 0 || come.length === 0) {
    const isMoved = before.length === after.length && old!.some((name, i) => name !== now![i])
    return !isMoved || !before.every((item, i) => isSame(i, item, after[i]))
  }
  const few = gone.length * come.length <= MAX_COMPARED
  const isAnother = (a: number, b: number): boolean => mayStandFor(a, member, old![a], now![b])
  return !gone.some((a, i) => (few ? come : come.slice(i, i + 1)).some(b => isAnother(a, b)))
}

function areNamed(items: readonly unknown[], member: string): boolean {
  const seen = new Set<unknown>()
  for (const item of items) {
    const name = nameOf(item, member)
    if ((typeof name !== 'string' && typeof name !== 'number') || seen.has(name)) return false
    seen.add(name)
  }
  return items.length > 0
}

function nameOf(item: unknown, member: string): unknown {
  if (typeof item !== 'object' || item === null || !Object.hasOwn(item, member)) return undefined
  return (item as Record<string, unknown>)[member]
}

function byName(before: readonly unknown[], after: readonly unknown[], member: string): ArrayPairs {
  const places = new Map(after.map((item, i) => [nameOf(item, member), i]))
  const pairs: ArrayPair[] = []
  const taken = new Set<number>()
  const old: unknown[] = []
  for (const [i, item] of before.entries()) {
    const name = nameOf(item, member)
    const at = places.get(name)
    pairs.push({ old: i, new: at })
    if (at === undefined) continue
    taken.add(at)
    old.push(name)
  }
  const now: unknown[] = []
  for (const [i, item] of after.entries()) {
    if (taken.has(i)) now.push(nameOf(item, member))
    else pairs.push({ old: undefined, new: i })
  }
  return old.some((name, i) => name !== now[i]) ? { pairs, order: { old, new: now } } : { pairs }
}

/** Lists of one length keep their positions; of others, what is equal at both ends shows where something was put in or left out. */
function byPosition(before: readonly unknown[], after: readonly unknown[], isSame: IsSame): ArrayPair[] {
  if (before.length === after.length) return inTurn(range(0, before.length), range(0, after.length))
  const shorter = Math.min(before.length, after.length)
  let head = 0
  while (head < shorter && isSame(head, before[head], after[head])) head++
  let tail = 0
  const isTail = (n: number): boolean => {
    const old = before.length - 1 - n
    return isSame(old, before[old], after[after.length - 1 - n])
  }
  while (head + tail < shorter && isTail(tail)) tail++
  return inTurn(range(head, before.length - tail), range(head, after.length - tail))
}

function bySet(before: readonly unknown[], after: readonly unknown[], isSame: IsSame): ArrayPair[] {
  const places = new Map<string, number[]>()
  for (const [i, item] of after.entries()) {
    const text = canonicalText(item)
    const list = places.get(text)
    if (list) list.push(i)
    else places.set(text, [i])
  }
  for (const list of places.values()) list.reverse()
  const old: number[] = []
  const taken = new Set<number>()
  for (const [i, item] of before.entries()) {
    const at = places.get(canonicalText(item))?.pop()
    if (at === undefined) old.push(i)
    else taken.add(at)
  }
  const now = range(0, after.length).filter(i => !taken.has(i))
  return bySameness(old, now, (a, b) => isSame(a, before[a], after[b]))
}

/** Equal but for what is ignored, of those that are left: few, or comparing each with each would take too long. */
function bySameness(old: number[], now: number[], isSame: (a: number, b: number) => boolean): ArrayPair[] {
  if (old.length * now.length > MAX_COMPARED) return inTurn(old, now)
  const left = [...now]
  const unpaired = old.filter(a => {
    const at = left.findIndex(b => isSame(a, b))
    if (at >= 0) left.splice(at, 1)
    return at < 0
  })
  return inTurn(unpaired, left)
}

const MAX_COMPARED = 10_000

function inTurn(old: readonly number[], now: readonly number[]): ArrayPair[] {
  return range(0, Math.max(old.length, now.length)).map(i => ({ old: old[i], new: now[i] }))
}

function range(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, to - from) }, (_, i) => from + i)
}
