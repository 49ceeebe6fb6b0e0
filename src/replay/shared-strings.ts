import { createHash } from 'node:crypto'
import { idKey, roundedKey } from '../protocol/id.ts'

/** Longer names, ids and tokens are no sane ones: a stand-in tells them apart, so that a tape cannot fill the memory with them. */
const LONGEST = 1000
/** Strings of this length and above may be slices, for whose sake V8 keeps the whole text alive. */
const SLICE = 13

/** The text itself, of its own; or a stand-in for one that is far too long. */
export function ownText(text: string): string {
  if (text.length > LONGEST)
    return JSON.stringify(`${text.slice(1, 101)}… ${createHash('sha256').update(text).digest('hex')}`)
  return text.length < SLICE ? text : (JSON.parse(JSON.stringify(text)) as string)
}

/** Under which ids and tokens meet, whatever their spelling. */
export function keyOf(text: string): string {
  try {
    return idKey(ownText(text))
  } catch {
    return ownText(text)
  }
}

/** Servers that read numbers as doubles answer to this in place of `key`. */
export function doubleKey(key: string): string | undefined {
  return key.length < SLICE ? undefined : roundedKey(key)
}

/** Names that recur in frame after frame, held once. */
export class Names {
  readonly #known = new Map<string, string>()

  of(text: string): string {
    const known = this.#known.get(text)
    if (known !== undefined) return known
    const own = ownText(text)
    if (own.length === text.length && this.#known.size < MAX_NAMES) this.#known.set(own, own)
    return own
  }
}

const MAX_NAMES = 10_000

/** Lists that recur in frame after frame, held once, as long as there is room. */
export class Lists {
  readonly #known = new Map<string, readonly string[]>()
  #room = 4 * 1024 * 1024

  /** Undefined: too many different ones. */
  of(list: readonly string[]): readonly string[] | undefined {
    if (list.length === 0) return NONE
    const key = JSON.stringify(list)
    const known = this.#known.get(key)
    if (known || key.length > this.#room) return known
    this.#room -= key.length
    this.#known.set(key, list)
    return list
  }
}

export const NONE: readonly never[] = Object.freeze([])
