import { CatflapError } from '../errors.ts'
import { Message } from '../protocol/message.ts'
import { parseJson } from '../replay/canonical.ts'
import type { Difference } from '../replay/json-diff.ts'
import type { Conversation, RecordedRequest, Said } from '../replay/recording.ts'
import { allSaid } from './plan.ts'

/** A question of the server's that was recorded. */
interface Expected {
  readonly said: Said
  /** The id under which the server asks it now. */
  idText?: string
  /** The client's answer was due already when the server asked. */
  due: boolean
  /** In what it differs from the recorded one. */
  differences?: readonly Difference[]
}

export interface QuestionParts {
  readonly compare: (recorded: Said, live: unknown) => readonly Difference[]
  readonly answer: (said: Said, idText: string) => void
  readonly refuse: (answer: Message) => void
}

/** What the server asks the client: answered as recorded, when it was recorded. What was not recorded is refused. */
export class Questions {
  /** That were not recorded. */
  readonly #unknown: Message[] = []
  readonly #expected: Expected[]
  readonly #parts: QuestionParts

  constructor(conversation: Conversation, isSent: (request: RecordedRequest) => boolean, parts: QuestionParts) {
    this.#parts = parts
    const unsent = conversation.steps.flatMap(s => (s.kind === 'request' && !isSent(s) ? s.said : []))
    const left = new Set(unsent)
    this.#expected = allSaid(conversation)
      .filter(said => said.id !== undefined && !said.own && !left.has(said))
      .map(said => ({ said, due: false }))
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
    if (message.method === 'ping')
      return this.#parts.refuse(Message.parse(Buffer.from(`{"jsonrpc":"2.0","id":${idText},"result":{}}`)))
    if (this.#unknown.length < MAX_UNKNOWN) this.#unknown.push(message)
    const error = new CatflapError('server_request_unheard', 'The client did not answer this when it was recorded.')
    this.#parts.refuse(Message.parse(error.toJsonRpc(idText)))
  }

  /** Whether the server has asked it by now. */
  isAsked(said: Said): boolean {
    return this.#of(said)?.idText !== undefined
  }

  /** The client's answer is due: it is given now, or once the server asks. */
  answerDue(said: Said): void {
    const expected = this.#of(said)
    if (!expected || expected.due) return
    expected.due = true
    if (expected.idText !== undefined) this.#parts.answer(said, expected.idText)
  }

  /** What the server asks otherwise than it did. */
  get differences(): Difference[] {
    const added = this.#unknown.map(m => ({ path: m.method!, kind: 'added' as const, new: paramsOf(m) }))
    const removed = this.#expected
      .filter(e => e.idText === undefined && e.said.answer && e.said.method !== 'ping')
      .map(({ said }) => ({ path: said.method, kind: 'removed' as const, old: said.method }))
    const changed = this.#expected.flatMap(({ said, differences = [] }) =>
      differences.map(d => ({ ...d, path: `${said.method}.${d.path}` }))
    )
    return [...added, ...removed, ...changed]
  }

  #of(said: Said): Expected | undefined {
    return this.#expected.find(e => e.said === said)
  }

  /** The first that is equal; else the first of its method, so that one difference is told and not two. */
  #find(message: Message): Expected | undefined {
    const open = this.#expected.filter(e => e.idText === undefined && e.said.method === message.method)
    if (open.length === 0) return undefined
    const live = parseJson(message.bytes.toString('utf8'))
    let first: readonly Difference[] | undefined
    for (const one of open) {
      const differences = this.#parts.compare(one.said, live)
      if (differences.length === 0) return one
      first ??= differences
    }
    open[0]!.differences = first!
    return open[0]
  }
}

const MAX_UNKNOWN = 100

function paramsOf(message: Message): unknown {
  return (message.json as { readonly params?: unknown }).params ?? {}
}
