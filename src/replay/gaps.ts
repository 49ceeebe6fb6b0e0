import { MARK } from '../tape/format.ts'
import { type CanonicalOptions, canonicalText, type View } from './canonical.ts'

/** Where a recorded request lost what was secret: something else may stand there. */
export interface Gap {
  readonly path: readonly string[]
  /** As recorded; what surrounds the mark has to be there. */
  readonly text: string
}

/** Finds the gaps of a request while its key is made. */
export function gapFinder(gaps: Gap[]): NonNullable<CanonicalOptions['onText']> {
  return (path, text) => {
    if (text.includes(MARK)) gaps.push({ path: [...path], text })
  }
}

/** Ways of one method to lose secrets, and characters of all of them: more are not looked for. */
const MAX_WAYS = 10_000
const MAX_CHARACTERS = 16 * 1024 * 1024
/** So many that fit one request are looked up. */
const MAX_FITTING = 64

/** The ways in which recorded requests lost their secrets, by method. */
export class Gaps {
  readonly #ways = new Map<string, Map<string, Way>>()
  /** Of these methods there are more than are known. */
  readonly #incomplete = new Set<string>()
  #characters = 0

  add(method: string, gaps: readonly Gap[]): void {
    const key = JSON.stringify(gaps)
    let ways = this.#ways.get(method)
    if (!ways) this.#ways.set(method, (ways = new Map()))
    if (ways.has(key)) return
    if (ways.size >= MAX_WAYS || this.#characters + key.length > MAX_CHARACTERS)
      return void this.#incomplete.add(method)
    this.#characters += key.length
    ways.set(key, new Way(gaps))
  }

  /** How a request looks with each set of gaps that it fits; those that leave the least open come first. */
  viewsFor(method: string, params: unknown): readonly View[] {
    const ways = this.#ways.get(method)
    if (!ways) return NONE
    const fitting: { readonly view: View; readonly open: number }[] = []
    for (const way of ways.values()) {
      const open = way.openIn(params)
      if (open !== undefined) fitting.push({ view: way.view, open })
    }
    if (fitting.length > 1) fitting.sort((a, b) => a.open - b.open)
    return fitting.slice(0, MAX_FITTING).map(({ view }) => view)
  }

  isComplete(method: string): boolean {
    return !this.#incomplete.has(method)
  }
}

const NONE: readonly View[] = []
/** More than any text has characters: gaps with several words come last. */
const LAST = 2 ** 40

interface Place {
  readonly path: readonly string[]
  readonly parts: readonly string[]
  /** Characters that have to be there. */
  readonly literal: number
}

/** The gaps of one request, which others may have too. */
class Way {
  readonly #gaps: readonly Gap[]
  readonly #places: readonly Place[]
  #view: View | undefined

  constructor(gaps: readonly Gap[]) {
    this.#gaps = gaps
    this.#places = gaps.map(({ path, text }) => {
      const parts = text.split(MARK)
      return { path, parts, literal: parts.reduce((sum, part) => sum + part.length, 0) }
    })
  }

  /** How many characters of these parameters stand in gaps, and more where these hold several words; undefined where they do not fit. */
  openIn(params: unknown): number | undefined {
    let open = 0
    for (const { path, parts, literal } of this.#places) {
      const value = valueAt(params, path)
      const fit = value === undefined ? undefined : fitOf(parts, value)
      if (!fit) return undefined
      if (fit === 'words') open += LAST
      open += (typeof value === 'string' ? value : canonicalText(value)).length - literal
    }
    return open
  }

  /** Sees a request as if it had these gaps: its key is that of the recorded one where all else is equal. */
  get view(): View {
    this.#view ??= viewOf(this.#gaps)
    return this.#view
  }
}

interface Draft extends View {
  readonly named: Map<string, Draft>
  standIn?: (value: unknown) => string | undefined
}

function viewOf(gaps: readonly Gap[]): View {
  const root: Draft = { named: new Map() }
  for (const { path, text } of gaps) {
    let node = root
    for (const segment of path) {
      let next = node.named.get(segment)
      if (!next) node.named.set(segment, (next = { named: new Map() }))
      node = next
    }
    const standIn = JSON.stringify(text)
    // Whoever asks for the view knows that the value fits.
    node.standIn = () => standIn
  }
  return root
}

function valueAt(value: unknown, path: readonly string[]): unknown {
  for (const segment of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, segment)) return undefined
    value = (value as Record<string, unknown>)[segment]
  }
  return value
}

/** Whether a value may be what stood on the tape as these parts, with marks between them. */
export function fitsGap(parts: readonly string[], value: unknown): boolean {
  return fitOf(parts, value) !== undefined
}

/** `word`: each gap holds what secrets look like. `words`: one holds more, as a passphrase does, and stands by itself. */
function fitOf(parts: readonly string[], value: unknown): 'word' | 'words' | undefined {
  // A mark that is the whole text stood for a value of any type.
  if (parts.length === 2 && parts[0] === '' && parts[1] === '') return 'word'
  if (typeof value !== 'string' || !value.startsWith(parts[0]!)) return undefined
  let fit: 'word' | 'words' = 'word'
  let at = parts[0]!.length
  for (let i = 1; i < parts.length; i++) {
    const part = parts[i]!
    const isLast = i === parts.length - 1
    // The first place is the only one that can do: further on, the gap would hold what ends it, or nothing is won.
    const found = isLast ? value.length - part.length : value.indexOf(part, at)
    if (found < at || !value.startsWith(part, found)) return undefined
    if (endOf(parts[i - 1]!, part).test(value.slice(at, found))) {
      if (!isApart(parts[i - 1]!, part)) return undefined
      fit = 'words'
    }
    at = found + part.length
  }
  return fit
}

/** Blanks, or the ends of the text, surround the gap. */
function isApart(before: string, after: string): boolean {
  return /(?:^|\s)$/.test(before) && /^(?:\s|$)/.test(after)
}

/**
 * What no gap holds, since another value or word begins there: a token in a URL ends before the next parameter, or within a path
 * before the next segment. Between quotes anything else may stand.
 */
function endOf(before: string, after: string): RegExp {
  const last = before.at(-1)
  if (last === '"' && after.startsWith('"')) return DOUBLE_QUOTE
  if (last === "'" && after.startsWith("'")) return SINGLE_QUOTE
  return last === '/' ? SEGMENT : WORD
}

const DOUBLE_QUOTE = /"/
const SINGLE_QUOTE = /'/
const SEGMENT = /[/?#"'\s]/
const WORD = /[&#"'\s]/
