import { CatflapError } from '../errors.ts'
import { Message } from '../protocol/message.ts'
import type { Difference } from '../replay/json-diff.ts'
import type { Conversation, RecordedRequest, Said } from '../replay/recording.ts'
import { valueAt } from './leaves.ts'
import { allSaid } from './plan.ts'
import { jsonOf } from './voices.ts'

/** A question of the server's that was recorded. */
interface Expected {
  readonly said: Said
  /** While which it was asked. */
  readonly asker: RecordedRequest | undefined
  /** The id under which the server asks it now. */
  idText?: string
  /** The client's answer was due already when the server asked. */
  due: boolean
}

export interface QuestionParts {
  readonly compare: (recorded: Said, live: unknown) => readonly Difference[]
  readonly answer: (said: Said, idText: string) => void
  readonly refuse: (answer: Message) => void
}

/**
 * What the server asks the client: answered as recorded, where the very same was asked then. Any other question is refused, in
 * a way that agrees to nothing.
 */
export class Questions {
  /** That were not recorded. */
  readonly #others: Message[] = []
  /** How many of each method. */
  readonly #counts = new Map<string, number>()
  readonly #expected: Expected[]
  readonly #isSent: (request: RecordedRequest) => boolean
  readonly #parts: QuestionParts

  /** `isSent` is asked again and again: that a request is not sent may show on the way. */
  constructor(conversation: Conversation, isSent: (request: RecordedRequest) => boolean, parts: QuestionParts) {
    this.#isSent = isSent
    this.#parts = parts
    const requests = conversation.steps.filter(step => step.kind === 'request')
    const askers = new Map(requests.flatMap(request => request.said.map(said => [said, request] as const)))
    this.#expected = allSaid(conversation)
      .filter(said => said.id !== undefined && !said.own)
      .map(said => ({ said, asker: askers.get(said), due: false }))
  }

  /** The server asks. */
  asked(message: Message): void {
    const idText = message.idText!
    const found = this.#find(message)
    if (found) {
      found.idText = idText
      if (found.due) this.#parts.answer(found.said, idText)
      return
    }
    if (message.method !== 'ping') {
      if (this.#others.length < MAX_OTHERS) this.#others.push(message)
      this.#counts.set(message.method!, (this.#counts.get(message.method!) ?? 0) + 1)
    }
    this.#parts.refuse(refusalOf(message))
  }

  /** Whether the server has asked it by now, or something else in its place, or has no reason to. */
  isAsked(said: Said): boolean {
    const expected = this.#of(said)
    if (!expected || expected.idText !== undefined || this.#isLeftOut(expected)) return true
    return this.#left(said.method).indexOf(expected) < (this.#counts.get(said.method) ?? 0)
  }

  /** The client's answer is due: it is given now, or once the server asks. */
  answerDue(said: Said): void {
    const expected = this.#of(said)
    if (!expected || expected.due) return
    expected.due = true
    if (expected.idText !== undefined) this.#parts.answer(said, expected.idText)
  }

  /** What the server asks otherwise than it did: what came in the place of a recorded question is told as that. */
  get differences(): Difference[] {
    const methods = [...this.#others.map(m => m.method!), ...this.#expected.map(e => e.said.method)]
    return [...new Set(methods)].flatMap(method => this.#differencesOf(method))
  }

  #differencesOf(method: string): Difference[] {
    const others = this.#others.filter(m => m.method === method)
    const left = this.#left(method)
    const changed = others.slice(0, left.length).flatMap((message, i) => {
      const differences = this.#parts.compare(left[i]!.said, jsonOfMessage(message))
      return differences.map(d => ({ ...d, path: `${method}.${d.path}` }))
    })
    const added = others.slice(left.length).map(m => ({ path: method, kind: 'added' as const, new: paramsOf(m) }))
    const removed = left
      .slice(this.#counts.get(method) ?? 0)
      .filter(({ said }) => said.answer && method !== 'ping')
      .map(() => ({ path: method, kind: 'removed' as const, old: method }))
    return [...added, ...removed, ...changed]
  }

  #of(said: Said): Expected | undefined {
    return this.#expected.find(e => e.said === said)
  }

  /** Those of a method that the server has not asked. */
  #left(method: string): Expected[] {
    return this.#expected.filter(e => e.idText === undefined && e.said.method === method && !this.#isLeftOut(e))
  }

  #isLeftOut({ asker }: Expected): boolean {
    return asker !== undefined && !this.#isSent(asker)
  }

  /** The first that is equal. */
  #find(message: Message): Expected | undefined {
    const left = this.#left(message.method!)
    if (left.length === 0) return undefined
    const live = jsonOfMessage(message)
    return left.find(({ said }) => this.#parts.compare(said, live).length === 0)
  }
}

const MAX_OTHERS = 100

/** Agrees to nothing, and tells the server so as the specification has it. */
function refusalOf({ method, idText }: Message): Message {
  const result = method === 'ping' ? '{}' : method === 'elicitation/create' ? '{"action":"decline"}' : undefined
  if (result !== undefined) return Message.parse(Buffer.from(`{"jsonrpc":"2.0","id":${idText},"result":${result}}`))
  const error = new CatflapError('server_request_unheard', 'The client did not answer this when it was recorded.')
  return Message.parse(error.toJsonRpc(idText!))
}

function jsonOfMessage(message: Message): unknown {
  return jsonOf(message.bytes.toString('utf8'))
}

function paramsOf(message: Message): unknown {
  const json = jsonOfMessage(message)
  return typeof json === 'string' ? json : (valueAt(json, ['params']) ?? {})
}
