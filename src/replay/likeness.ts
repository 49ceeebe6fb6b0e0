import type { Message } from '../protocol/message.ts'
import { canonicalText, parseJson } from './canonical.ts'
import type { Conversation } from './recording.ts'
import { textOf } from './spoken.ts'
import { stepsInTurn } from './steps-of.ts'
import { isObject } from './values.ts'

/** Of so many names it is remembered which sessions they had. */
const MAX_NAMES = 1000

/** What a client says of itself when it begins, each as canonical JSON text. */
interface Beginning {
  readonly client: string
  readonly capabilities: string
  readonly version: string
}

/** Recorded sessions that began alike, by their places among all; undefined: what they began with is not known. */
interface Alike {
  readonly beginning: Beginning | undefined
  readonly places: number[]
}

/**
 * Of several recorded sessions, the one whose client has begun most like this one. Of those that began alike each client has the
 * next, and the first again when all were had: a client that begins anew has what it had then.
 */
export class Beginnings {
  readonly #conversations: readonly Conversation[]
  /** How many sessions of each kind were had, for each name that clients give. */
  readonly #had = new Map<string, Map<Alike, number>>()
  /** Made when it is first needed. */
  #kinds: readonly Alike[] | undefined

  constructor(conversations: readonly Conversation[]) {
    this.#conversations = conversations
  }

  /** Clients that give a name share the recorded sessions with those of the same name alone. */
  like(initialize: Message, name = ''): Conversation | undefined {
    if (this.#conversations.length <= 1) return this.#conversations[0]
    this.#kinds ??= kindsOf(this.#conversations)
    const given = beginningIn(initialize.bytes.toString())
    const had = this.#hadBy(name)
    let best: Alike | undefined
    let most = -1
    for (const kind of this.#kinds) {
      const alike = kind.beginning ? likeness(kind.beginning, given) : 0
      if (alike < most || (alike === most && !isBefore(nextOf(kind, had), nextOf(best!, had)))) continue
      most = alike
      best = kind
    }
    const { place } = nextOf(best!, had)
    had.set(best!, (had.get(best!) ?? 0) + 1)
    return this.#conversations[place]
  }

  #hadBy(name: string): Map<Alike, number> {
    const had = this.#had.get(name) ?? new Map<Alike, number>()
    // The name that was used last stands last.
    this.#had.delete(name)
    this.#had.set(name, had)
    if (this.#had.size > MAX_NAMES) this.#had.delete(this.#had.keys().next().value!)
    return had
  }
}

/** A session, and how often it was had. */
interface Turn {
  readonly times: number
  readonly place: number
}

function nextOf(kind: Alike, had: ReadonlyMap<Alike, number>): Turn {
  const { places } = kind
  const count = had.get(kind) ?? 0
  return { times: Math.floor(count / places.length), place: places[count % places.length]! }
}

/** What was had less often, and of these what came first. */
function isBefore(a: Turn, b: Turn): boolean {
  return a.times === b.times ? a.place < b.place : a.times < b.times
}

function kindsOf(conversations: readonly Conversation[]): Alike[] {
  const kinds = new Map<string, Alike>()
  for (const [place, conversation] of conversations.entries()) {
    const beginning = beginningOf(conversation)
    const key = beginning ? `${beginning.client}\n${beginning.capabilities}\n${beginning.version}` : ''
    const known = kinds.get(key)
    if (known) known.places.push(place)
    else kinds.set(key, { beginning, places: [place] })
  }
  return [...kinds.values()]
}

function likeness(recorded: Beginning, given: Beginning): number {
  const alike = (key: keyof Beginning): boolean => recorded[key] === given[key]
  return 1 + (alike('client') ? 4 : 0) + (alike('capabilities') ? 2 : 0) + (alike('version') ? 1 : 0)
}

function beginningOf(conversation: Conversation): Beginning | undefined {
  for (const [, step] of stepsInTurn(conversation))
    if (step.kind === 'request' && step.method === 'initialize') {
      const text = step.truncated ? undefined : textOf(step.text)
      return text === undefined ? undefined : beginningIn(text)
    }
  return undefined
}

function beginningIn(text: string): Beginning {
  const message = readable(text)
  const params = isObject(message) && isObject(message.params) ? message.params : {}
  const textOfPart = (part: unknown): string => (part === undefined ? '' : canonicalText(part))
  return {
    client: textOfPart(params.clientInfo),
    capabilities: textOfPart(params.capabilities),
    version: textOfPart(params.protocolVersion)
  }
}

/** What is nested too deeply is like nothing. */
function readable(text: string): unknown {
  try {
    return parseJson(text)
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}
