import { pathText } from '../config/problems.ts'
import type { DiffPath } from '../replay/json-diff.ts'
import type { RecordedRequest } from '../replay/recording.ts'
import { type BindingPlan, type Minted, PARTS, type Use } from './bindings.ts'
import { counterpart, eachLeaf, replaceAt, valueAt } from './leaves.ts'
import { answerOf, nameOf, placeFacts, type Spoken } from './plan.ts'
import { differInRandom, isRandom } from './random.ts'
import type { BindingReport, BoundPlace } from './report.ts'

type Value = string | number

/** What the values that the server made up on the tape are now. */
export class Bound {
  readonly #plan: BindingPlan
  readonly #now = new Map<Minted, Value>()
  readonly #gone = new Set<Minted>()
  /** Requests of which an answer came. */
  readonly #answered = new Set<RecordedRequest>()
  /** Of whole values, and of parts of texts. */
  readonly #equal = new Map<string, Map<string, Minted>>()
  /** What a value of now was on the tape, and of which request. */
  readonly #then = new Map<Value, Minted[]>()
  readonly #used = new Map<Minted, Use[]>()

  constructor(plan: BindingPlan) {
    this.#plan = plan
  }

  /** The server has answered: what of it is used later is learned. */
  learn(request: RecordedRequest, live: unknown): void {
    const minted = this.#plan.minted.get(request)
    if (!minted) return
    this.#answered.add(request)
    const recorded = answerOf(request)
    const text = JSON.stringify(live) ?? ''
    for (const one of minted) this.#learnOne(one, recorded, live, text)
  }

  #learnOne(one: Minted, recorded: unknown, live: unknown, text: string): void {
    const there = counterpart(recorded, live, one.path)
    if (isGivenBack(one.path) && typeof there !== 'string' && typeof there !== 'number') this.#gone.add(one)
    // What is still there somewhere has not changed, though its place may have.
    if (!isGivenBack(one.path) && text.includes(JSON.stringify(one.value).replace(/^"|"$/g, ''))) return
    const now = one.part ? partOf(valueAt(recorded, one.path), one.value, there) : there
    if ((typeof now !== 'string' && typeof now !== 'number') || now === one.value) return
    this.#now.set(one, now)
    const before = this.#then.get(now)
    if (before) before.push(one)
    else this.#then.set(now, [one])
    const others = this.#equal.get(String(one.value))
    if (others) others.set(String(now), one)
    else this.#equal.set(String(one.value), new Map([[String(now), one]]))
  }

  /** Why a message can not be sent: what it says was to come from an answer that did not come, or that has it no more. */
  missing(step: Spoken): string | undefined {
    for (const { minted } of this.#plan.uses.get(step) ?? []) {
      const { request, path } = minted
      if (!this.#answered.has(request)) return `it needs the answer to ${nameOf(request)}, which did not come`
      if (this.#gone.has(minted)) return `the server's answer to ${request.method} has no ${path.at(-1)} any more`
    }
    return undefined
  }

  changes(step: Spoken): boolean {
    return this.#plan.uses.get(step)?.some(use => this.#now.has(use.minted)) === true
  }

  /** Puts the live values into a message. */
  apply(step: Spoken, json: unknown): void {
    for (const use of this.#plan.uses.get(step) ?? []) {
      const now = this.#now.get(use.minted)
      if (now === undefined) continue
      const before = valueAt(json, use.path)
      const isWhole = String(before) === String(use.minted.value)
      const after = isWhole ? likeBefore(before, now) : withPart(before, use.minted.value, now)
      if (after !== before) replaceAt(json, use.path, after)
    }
  }

  /** The message is sent, with the live values. */
  sent(step: Spoken): void {
    for (const use of this.#plan.uses.get(step) ?? []) {
      if (!this.#now.has(use.minted)) continue
      const used = this.#used.get(use.minted)
      if (used) used.push(use)
      else this.#used.set(use.minted, [use])
    }
  }

  /**
   * Whether two values are the same where a value that the server made up is what it is now. In the answer that brought it
   * (`request`'s), that takes a value which looks made up: a price that the client named later is a price, and it has changed.
   */
  isSame(before: unknown, after: unknown, request?: RecordedRequest): boolean {
    if (this.#equal.size === 0 || typeof before !== typeof after) return false
    const isNow = (old: string, now: string): boolean => {
      const minted = this.#equal.get(old)?.get(now)
      return minted !== undefined && (minted.request !== request || isMadeUp(minted, now))
    }
    if (typeof before === 'number') return isNow(String(before), String(after))
    if (typeof before !== 'string') return false
    if (isNow(before, after as string)) return true
    const changed = before.replace(PARTS, part => {
      for (const now of this.#equal.get(part)?.keys() ?? [])
        if ((after as string).includes(now) && isNow(part, now)) return now
      return part
    })
    return changed === after
  }

  /** Which values are this one now. */
  mintedAs(now: unknown): readonly Minted[] {
    return this.#then.get(now as Value) ?? []
  }

  /** Of a value that another run found at the same place. */
  nameOf({ request, value, path }: Minted): Value | undefined {
    const isSame = (m: Minted): boolean => m.value === value && m.path.join('\n') === path.join('\n')
    const found = this.#plan.minted.get(request)?.find(isSame)
    return found && this.#now.get(found)
  }

  /** A message of now, with values that were made up anew as they were on the tape. The message itself is changed. */
  asThen(json: unknown): unknown {
    if (this.#then.size === 0) return json
    const then = (now: Value, path: DiffPath): Value | undefined =>
      this.#then.get(now)?.findLast(minted => mayStandAt(path, minted, now))?.value
    const changes: { readonly path: DiffPath; readonly value: Value }[] = []
    eachLeaf(json, (path, leaf) => {
      if (FRAMING.has(String(path[0]))) return
      const whole = then(leaf, path)
      const value =
        whole ?? (typeof leaf === 'string' ? leaf.replace(PARTS, part => String(then(part, path) ?? part)) : leaf)
      if (value !== leaf) changes.push({ path: [...path], value })
    })
    for (const { path, value } of changes) replaceAt(json, path, value)
    return json
  }

  report(): BindingReport[] {
    return [...this.#used].map(([minted, uses]) => ({
      minted: placeOf(minted.request, minted.path),
      old: minted.value,
      new: this.#now.get(minted)!,
      used: uses.map(use => placeOf(use.step, use.path))
    }))
  }
}

export function placeOf(step: Spoken, path: DiffPath): BoundPlace {
  const method = step.kind === 'answer' ? `answer to ${step.to?.method ?? 'the server'}` : step.method
  const name = step.kind === 'request' ? step.subject : undefined
  return { method, ...(name !== undefined && { name }), place: placeFacts(step.place), path: pathText(path) }
}

function isMadeUp({ path, value }: Minted, now: string): boolean {
  return isGivenBack(path) || differInRandom(String(value), now)
}

function isGivenBack(path: DiffPath): boolean {
  return ['nextCursor', 'requestState', 'taskId'].includes(String(path.at(-1)))
}

/** A cursor may be any word: elsewhere that is another thing, unless nobody could have written it. */
function mayStandAt(path: DiffPath, minted: Minted, now: Value): boolean {
  return !isGivenBack(minted.path) || isGivenBack(path) || isRandom(String(now))
}

/** What a message has of the protocol, and not of what is said. */
const FRAMING: ReadonlySet<string> = new Set(['jsonrpc', 'id', 'method'])

/** The part of a text that stands where another one stood in the text before. */
function partOf(before: unknown, part: Value, after: unknown): string | undefined {
  if (typeof before !== 'string' || typeof after !== 'string') return undefined
  const at = before.indexOf(String(part))
  const [head, tail] = [before.slice(0, at), before.slice(at + String(part).length)]
  if (after.length > head.length + tail.length && after.startsWith(head) && after.endsWith(tail)) {
    const between = after.slice(head.length, after.length - tail.length)
    if (!/\s/.test(between)) return between
  }
  const [old, now] = [before, after].map(text => [...text.matchAll(PARTS)].map(([word]) => word))
  return old!.length === now!.length ? now![old!.indexOf(String(part))] : undefined
}

function withPart(text: unknown, part: Value, now: Value): unknown {
  return typeof text === 'string' ? text.replace(PARTS, word => (word === String(part) ? String(now) : word)) : text
}

/** As a number where it was one. */
function likeBefore(before: unknown, now: Value): Value {
  if (typeof before !== 'number') return String(now)
  return Number.isFinite(Number(now)) ? Number(now) : now
}
