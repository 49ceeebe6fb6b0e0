import { CatflapError } from '../errors.ts'
import { Message } from '../protocol/message.ts'
import { parseJson } from '../replay/canonical.ts'
import type { Conversation, Said } from '../replay/recording.ts'
import { allSaid } from './plan.ts'

/** A question of the server's that was recorded. */
interface Expected {
  readonly said: Said
  /** The id under which the server asks it now. */
  idText?: string
  /** The client's answer was due already when the server asked. */
  due: boolean
}

export interface QuestionParts {
  readonly isSame: (recorded: Said, live: unknown) => boolean
  readonly answer: (said: Said, idText: string) => void
  readonly refuse: (answer: Message) => void
}

/** What the server asks the client: answered as recorded, when it was recorded. What was not recorded is refused. */
export class Questions {
  /** That were not recorded. */
  readonly unknown: Message[] = []
  readonly #expected: Expected[]
  readonly #parts: QuestionParts

  constructor(conversation: Conversation, parts: QuestionParts) {
    this.#parts = parts
    this.#expected = allSaid(conversation)
      .filter(said => said.id !== undefined && !said.own)
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
    if (this.unknown.length < MAX_UNKNOWN) this.unknown.push(message)
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

  /** Of the session at large, answered on the tape, and not asked now. */
  get missing(): Said[] {
    return this.#expected
      .filter(e => e.idText === undefined && !e.said.owned && e.said.answer && e.said.method !== 'ping')
      .map(e => e.said)
  }

  #of(said: Said): Expected | undefined {
    return this.#expected.find(e => e.said === said)
  }

  /** The first that is equal; else the first of its method, so that one difference is told and not two. */
  #find(message: Message): Expected | undefined {
    const open = this.#expected.filter(e => e.idText === undefined && e.said.method === message.method)
    if (open.length === 0) return undefined
    const live = parseJson(message.bytes.toString('utf8'))
    return open.find(e => this.#parts.isSame(e.said, live)) ?? open[0]
  }
}

const MAX_UNKNOWN = 100
