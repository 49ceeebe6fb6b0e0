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
    const { params } = parseJson(message.bytes.toString()) as { params?: unknown }
    return ask({ method: message.method!, params })
  } catch (error) {
    if (error instanceof SyntaxError) return failed(error.message)
    if (!(error instanceof TapeError)) throw error
    return failed('the tape was changed while it is replayed')
  }
}
