import type { Message } from '../protocol/message.ts'
import { TapeError } from '../tape/format.ts'
import { parseJson } from './canonical.ts'
import type { AskedMessage, Cursor, Match } from './matching.ts'

/** What cannot be compared is on no tape. */
export function matching(cursor: Cursor, message: Message): Match {
  return asking(
    message,
    asked => cursor.match(asked),
    text => ({ miss: { text, closest: undefined, difference: [] } })
  )
}

/** A number that all requests have which get the same recordings; undefined: there are none. */
export function kindOf(cursor: Cursor, message: Message): number | undefined {
  return asking(
    message,
    asked => cursor.kindOf(asked),
    () => undefined
  )
}

/** `failed` is told why the message cannot be compared. */
function asking<T>(message: Message, ask: (asked: AskedMessage) => T, failed: (text: string) => T): T {
  try {
    return ask(new Asked(message))
  } catch (error) {
    if (error instanceof SyntaxError) return failed(error.message)
    if (!(error instanceof TapeError)) throw error
    return failed('the tape was changed while it is replayed')
  }
}

/** Its parameters are read where what is written is not known yet. */
class Asked implements AskedMessage {
  readonly method: string
  readonly text: string | undefined
  #params: { readonly value: unknown } | undefined

  constructor(message: Message) {
    this.method = message.method!
    this.text = message.paramsText
  }

  get params(): unknown {
    this.#params ??= { value: this.text === undefined ? undefined : parseJson(this.text) }
    return this.#params.value
  }
}
