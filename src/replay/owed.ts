import type { Message } from '../protocol/message.ts'
import { canonicalKey, parseJson } from './canonical.ts'
import type { Hit } from './matching.ts'

/** Requests that may be made once more. Beyond, the oldest is forgotten. */
const MAX_OWED = 256

/** Recordings that nobody was told, since something else was in their place: whoever asks the same again gets them. */
export class Owed {
  readonly #byKey = new Map<string, Hit[]>()
  #count = 0

  give(message: Message, owed: Hit): void {
    const key = keyOf(message)
    if (key === undefined) return
    const list = this.#byKey.get(key)
    if (list) list.push(owed)
    else this.#byKey.set(key, [owed])
    if (++this.#count > MAX_OWED) for (const oldest of this.#byKey.keys()) return void this.#next(oldest)
  }

  take(message: Message): Hit | undefined {
    const key = this.#count === 0 ? undefined : keyOf(message)
    return key === undefined ? undefined : this.#next(key)
  }

  #next(key: string): Hit | undefined {
    const list = this.#byKey.get(key)
    const first = list?.shift()
    if (first) this.#count--
    if (list?.length === 0) this.#byKey.delete(key)
    return first
  }
}

/** Undefined for what cannot be compared. */
function keyOf(message: Message): string | undefined {
  try {
    const { params } = parseJson(message.bytes.toString()) as { params?: unknown }
    return canonicalKey(message.method!, params)
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}
