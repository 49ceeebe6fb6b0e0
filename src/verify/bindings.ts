import type { DiffPath } from '../replay/json-diff.ts'
import type { RecordedRequest } from '../replay/recording.ts'
import { MARK } from '../tape/format.ts'
import { LISTS } from './drift.ts'
import { eachLeaf } from './leaves.ts'
import { answerOf, isSpoken, jsonOf, type Plan, type Spoken } from './plan.ts'
import { isRandom } from './random.ts'

/** A value that the server made up in an answer. */
export interface Minted {
  readonly request: RecordedRequest
  readonly path: DiffPath
  readonly value: string | number
  /** It is only a part of the text that stands there. */
  readonly part: boolean
  readonly uses: Use[]
}

/** Where the client said it later. */
export interface Use {
  readonly step: Spoken
  readonly path: DiffPath
  readonly minted: Minted
}

export interface BindingPlan {
  readonly minted: ReadonlyMap<RecordedRequest, readonly Minted[]>
  readonly uses: ReadonlyMap<Spoken, readonly Use[]>
}

export const NO_BINDINGS: BindingPlan = { minted: new Map(), uses: new Map() }

/**
 * Finds what the server made up and the client used later: identifiers, cursors, states, URIs. What the client said first,
 * ordinary words and small numbers are none.
 */
export function bindingsOf(plan: Plan): BindingPlan {
  const finder = new Finder(wordsOfClient(plan))
  for (const event of eventsOf(plan)) event.isAnswer ? finder.answered(event.step) : finder.said(event.step)
  return finder
}

type Event =
  | { readonly order: number; readonly isAnswer: true; readonly step: RecordedRequest }
  | { readonly order: number; readonly isAnswer: false; readonly step: Spoken }

function eventsOf({ acts }: Plan): Event[] {
  const events: Event[] = []
  for (const { step } of acts) {
    if (!isSpoken(step)) continue
    events.push({ order: step.order, isAnswer: false, step })
    if (step.kind === 'request' && step.outcome.kind === 'response' && !step.outcome.isError)
      events.push({ order: step.outcome.order, isAnswer: true, step })
  }
  return events.sort((a, b) => a.order - b.order)
}

/** Only what the client says need be looked for in answers: those may be many times as long. */
function wordsOfClient(plan: Plan): ReadonlySet<string> {
  const words = new Set<string>()
  for (const { step } of plan.acts)
    if (isSpoken(step)) eachWord(paramsOf(step), (_, word) => void (words.size < MAX_WORDS && words.add(word)))
  return words
}

const MAX_WORDS = 1_000_000

/** What follows from the protocol: the client gives back what it got, however short it is. */
const GIVEN_BACK: ReadonlyMap<string, string> = new Map([
  ['cursor', 'nextCursor'],
  ['requestState', 'requestState'],
  ['taskId', 'taskId']
])
/** Of the protocol itself, or the client's own. */
const NEVER = new Set(['protocolVersion', 'progressToken', 'clientInfo', 'capabilities', 'level', 'method'])

class Finder implements BindingPlan {
  readonly minted = new Map<RecordedRequest, Minted[]>()
  readonly uses = new Map<Spoken, Use[]>()
  readonly #wanted: ReadonlySet<string>
  /** A number may be said as a text later. */
  readonly #byValue = new Map<string, Minted>()
  /** What was given to be given back: by its name, and for lists by the method too. */
  readonly #given = new Map<string, Minted>()
  readonly #clients = new Set<string>()

  constructor(wanted: ReadonlySet<string>) {
    this.#wanted = wanted
  }

  answered(request: RecordedRequest): void {
    const answer = answerOf(request)
    eachLeaf(answer, (path, leaf) => {
      if (path[0] !== 'result') return
      const key = String(path.at(-1))
      if ([...GIVEN_BACK.values()].includes(key)) this.#give(key, leaf, request, path)
      eachWordOf(leaf, word => {
        // What is listed is an offer: where it has another name now, that is a change.
        if (LISTS.has(request.method) && !isRandom(word)) return
        if (!this.#wanted.has(word) || this.#clients.has(word) || this.#byValue.has(word)) return
        const isPart = word !== String(leaf)
        this.#byValue.set(word, mint(request, path, isPart ? word : leaf, isPart))
      })
    })
  }

  #give(key: string, leaf: string | number, request: RecordedRequest, path: DiffPath): void {
    const known = givenKey(key, leaf, request.method)
    // A task is made once, and told of often.
    if (key !== 'taskId' || !this.#given.has(known)) this.#given.set(known, mint(request, path, leaf, false))
  }

  said(step: Spoken): void {
    const given = new Set<string>()
    const params = paramsOf(step)
    eachLeaf(params, (path, leaf) => {
      const name = GIVEN_BACK.get(String(path.at(-1)))
      const method = step.kind === 'request' ? step.method : ''
      const minted = name === undefined ? undefined : this.#given.get(givenKey(name, leaf, method))
      if (!minted || leaf === MARK) return
      given.add(path.join('\n'))
      this.#use(minted, step, path)
    })
    eachWord(params, (path, word) => {
      if (given.has(path.join('\n')) || isChoice(step, path)) return
      const minted = this.#byValue.get(word)
      if (minted) this.#use(minted, step, path)
      else if (this.#clients.size < MAX_WORDS) this.#clients.add(word)
    })
  }

  #use(minted: Minted, step: Spoken, path: DiffPath): void {
    const use: Use = { minted, step, path: [step.kind === 'answer' ? 'result' : 'params', ...path] }
    if (minted.uses.length === 0) push(this.minted, minted.request, minted)
    minted.uses.push(use)
    push(this.uses, step, use)
  }
}

/** What is called is chosen by the client, whoever named it first: another tool may do harm. */
function isChoice(step: Spoken, path: DiffPath): boolean {
  return step.kind === 'request' && NAMED.has(step.method) && path.length === 1 && path[0] === 'name'
}

const NAMED = new Set(['tools/call', 'prompts/get'])

function mint(request: RecordedRequest, path: DiffPath, value: string | number, part: boolean): Minted {
  return { request, path: [...path], value, part, uses: [] }
}

/** Equal cursors of different lists are different things. */
function givenKey(name: string, value: string | number, method: string): string {
  return JSON.stringify([name, value, name === 'nextCursor' ? method : ''])
}

function push<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const list = map.get(key)
  if (list) list.push(value)
  else map.set(key, [value])
}

/** What of the client's message is its own to choose. */
function paramsOf(step: Spoken): unknown {
  const json = jsonOf(step) as { readonly params?: unknown; readonly result?: unknown } | undefined
  return step.kind === 'answer' ? json?.result : json?.params
}

function eachWord(value: unknown, visit: (path: DiffPath, word: string) => void): void {
  eachLeaf(value, (path, leaf) => {
    if (path.some(part => NEVER.has(String(part)))) return
    eachWordOf(leaf, word => visit(path, word))
  })
}

/** Longer ones are no identifiers, and no cursors either. */
const MAX_VALUE = 64 * 1024
const MAX_PART = 256

function eachWordOf(leaf: string | number, visit: (word: string) => void): void {
  if (typeof leaf === 'number') {
    if (Number.isSafeInteger(leaf) && Math.abs(leaf) >= 10_000) visit(String(leaf))
    return
  }
  if (leaf.includes(MARK)) return
  const whole = leaf.length >= MIN_DIGITS && leaf.length <= MAX_VALUE && !/\s/.test(leaf) && isMadeUp(leaf)
  if (whole) visit(leaf)
  for (const [part] of leaf.matchAll(PARTS)) if (part !== leaf && part.length <= MAX_PART && isMadeUp(part)) visit(part)
}

const MIN_LENGTH = 6
const MIN_DIGITS = 5
export const PARTS = /[A-Za-z0-9][A-Za-z0-9_-]{4,}/g

/** Words that people write have no digits in them; numbers count from five digits on. */
function isMadeUp(text: string): boolean {
  if (/^\d+$/.test(text)) return text.length >= MIN_DIGITS
  return text.length >= MIN_LENGTH && (/\d/.test(text) || text.includes('://'))
}
