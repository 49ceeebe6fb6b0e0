import { Message } from '../protocol/message.ts'
import { MARK } from '../tape/format.ts'
import { Literals } from '../tape/literals.ts'
import { isPlausibleId } from '../tape/plausible.ts'
import { scrubbedMessage } from './scrub.ts'
import { jsonOf } from './voices.ts'

/** A server that names the session anew, again and again, is remembered for so many names. */
const MAX_NAMES = 8

/**
 * The session's id, which a server may also say in its messages: on the tape its handle stands in its place, and so it does in
 * all that is compared, told and written. What the client says with the handle is sent with the id.
 */
export class SessionNames {
  readonly #handle: string | undefined
  readonly #live = new Literals(MAX_NAMES)
  readonly #recorded = new Literals(1)
  #id: string | undefined

  constructor(handle: string | undefined) {
    this.#handle = handle
  }

  /** What the server calls the session now. */
  learn(id: string | undefined): void {
    if (id === undefined || id === this.#id || !isPlausibleId(id)) return
    this.#id = id
    this.#live.observe(id, this.#handle ?? MARK)
  }

  /** A message of the server's. */
  asOnTape(message: Message): Message {
    return this.#live.size === 0 ? message : replaced(message, this.#live)
  }

  /** A message of the client's. */
  asNow(message: Message): Message {
    if (this.#id === undefined || this.#handle === undefined || !message.bytes.includes(this.#handle)) return message
    this.#recorded.observe(this.#handle, this.#id)
    return replaced(message, this.#recorded)
  }
}

function replaced(message: Message, literals: Literals): Message {
  if (!literals.foundIn(message.bytes.toString('latin1'))) return message
  const text = message.bytes.toString('utf8')
  const json = jsonOf(text)
  // Too deep to be walked through: the id must not be seen all the same.
  if (typeof json === 'string') return Message.parse(Buffer.from(literals.scrubJson(text)))
  return Message.parse(Buffer.from(JSON.stringify(scrubbedMessage(json, literals))))
}
