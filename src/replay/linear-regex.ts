/**
 * Regular expressions whose matching takes text × pattern steps at most. Those of JavaScript try one way after the other, and
 * for some texts that takes years; rules may come with a tape from somewhere else.
 */

const TOO_MUCH = 'repeats too much'

/** Why a pattern is not taken. */
export class RegexRefusal extends Error {}

export const MAX_PATTERN = 500
/** `{1,100}` is so many copies. */
const MAX_STATES = 2000
/** Copies of nothing make no states, and take time all the same. */
const MAX_PARTS = 20_000
/** Longer texts match nothing. */
const MAX_TEXT = 65_536

/** Whether a regular expression, as JavaScript writes it, is the whole of a text. Throws RegexRefusal. */
export function compileRegex(pattern: string): (text: string) => boolean {
  if (pattern.length > MAX_PATTERN) throw new RegexRefusal(`is longer than ${MAX_PATTERN} characters`)
  try {
    new RegExp(pattern, 'u')
  } catch (error) {
    throw new RegexRefusal(`is no regular expression (${(error as Error).message.replace(/^.*: /s, '')})`)
  }
  const program = new Program(new Parser(pattern).whole())
  return text => text.length <= MAX_TEXT && program.matches(text)
}

type Part =
  | { readonly kind: 'character'; readonly test: (codePoint: number) => boolean }
  | { readonly kind: 'sequence'; readonly parts: readonly Part[] }
  | { readonly kind: 'choice'; readonly parts: readonly Part[] }
  | { readonly kind: 'repeat'; readonly part: Part; readonly min: number; readonly max: number }

/** Of patterns that JavaScript has found to be right. */
class Parser {
  readonly #text: string
  #at = 0

  constructor(pattern: string) {
    this.#text = pattern.replace(/^\^/, '').replace(/(^|[^\\])((?:\\\\)*)\$$/, '$1$2')
  }

  whole(): Part {
    return this.#choice()
  }

  #choice(): Part {
    const parts = [this.#sequence()]
    while (this.#take('|')) parts.push(this.#sequence())
    return parts.length === 1 ? parts[0]! : { kind: 'choice', parts }
  }

  #sequence(): Part {
    const parts: Part[] = []
    while (this.#at < this.#text.length && !'|)'.includes(this.#text[this.#at]!)) parts.push(this.#repeated())
    return { kind: 'sequence', parts }
  }

  #repeated(): Part {
    const part = this.#atom()
    const found = /^(?:[*+?]|\{\d+(?:,\d*)?\})/.exec(this.#text.slice(this.#at))?.[0]
    if (found === undefined) return part
    this.#at += found.length
    this.#take('?')
    const [min, max] = boundsOf(found)
    return { kind: 'repeat', part, min, max }
  }

  #atom(): Part {
    if (this.#take('(')) return this.#group()
    const rest = this.#text.slice(this.#at)
    if (/^[\^$]/.test(rest)) throw new RegexRefusal('has ^ or $ within; it is for the whole value anyway')
    if (/^\\[bB]/.test(rest)) throw new RegexRefusal('has \\b, which is not taken here')
    if (/^\\[1-9k]/.test(rest)) throw new RegexRefusal('refers back to a group, which is not taken here')
    const source = ATOM.exec(rest)![0]
    this.#at += source.length
    return { kind: 'character', test: testOf(source) }
  }

  #group(): Part {
    if (this.#take('?') && !this.#take(':')) {
      const name = /^<[^=!>][^>]*>/.exec(this.#text.slice(this.#at))?.[0]
      if (name === undefined) throw new RegexRefusal('looks ahead or behind ((?=, (?!, (?<), which is not taken here')
      this.#at += name.length
    }
    const part = this.#choice()
    this.#take(')')
    return part
  }

  #take(character: string): boolean {
    if (this.#text[this.#at] !== character) return false
    this.#at++
    return true
  }
}

/** A class, an escape, or a character. */
const ATOM = /^(?:\[(?:\\.|[^\\\]])*\]|\\(?:[pP]\{[^}]*\}|u\{[^}]*\}|u[dD][89abAB]..\\u....|u....|x..|c.|.)|.)/su

function boundsOf(quantifier: string): [number, number] {
  if (quantifier === '*') return [0, Number.POSITIVE_INFINITY]
  if (quantifier === '+') return [1, Number.POSITIVE_INFINITY]
  if (quantifier === '?') return [0, 1]
  const [min, max] = quantifier.slice(1, -1).split(',')
  return [Number(min), max === undefined ? Number(min) : max === '' ? Number.POSITIVE_INFINITY : Number(max)]
}

/** JavaScript knows best what a class of characters holds; asked for one character, it answers at once. */
function testOf(source: string): (codePoint: number) => boolean {
  const regex = new RegExp(`^${source}$`, 'u')
  const test = (codePoint: number): boolean => regex.test(String.fromCodePoint(codePoint))
  const ascii = Array.from({ length: 128 }, (_, i) => test(i))
  return codePoint => (codePoint < 128 ? ascii[codePoint]! : test(codePoint))
}

interface State {
  test: ((codePoint: number) => boolean) | undefined
  /** Where it goes on: behind a character one, at a fork several. */
  next: number[]
}

/** All ways at once, a character at a time. */
class Program {
  readonly #states: State[] = []
  readonly #start: number
  readonly #end: number
  #parts = 0

  constructor(whole: Part) {
    this.#end = this.#state(undefined, [])
    this.#start = this.#compile(whole, this.#end)
  }

  #state(test: State['test'], next: number[]): number {
    if (this.#states.length >= MAX_STATES) throw new RegexRefusal(TOO_MUCH)
    return this.#states.push({ test, next }) - 1
  }

  #compile(part: Part, next: number): number {
    if (++this.#parts > MAX_PARTS) throw new RegexRefusal(TOO_MUCH)
    if (part.kind === 'character') return this.#state(part.test, [next])
    if (part.kind === 'sequence') return part.parts.reduceRight((behind, one) => this.#compile(one, behind), next)
    if (part.kind === 'choice')
      return this.#state(
        undefined,
        part.parts.map(one => this.#compile(one, next))
      )
    return this.#repeat(part.part, part.min, part.max, next)
  }

  #repeat(part: Part, min: number, max: number, next: number): number {
    let at = next
    if (max === Number.POSITIVE_INFINITY) {
      at = this.#state(undefined, [next])
      this.#states[at]!.next.push(this.#compile(part, at))
    } else for (let i = min; i < max; i++) at = this.#state(undefined, [next, this.#compile(part, at)])
    for (let i = 0; i < min; i++) at = this.#compile(part, at)
    return at
  }

  matches(text: string): boolean {
    let current = this.#closure([this.#start])
    for (const character of text) {
      const codePoint = character.codePointAt(0)!
      const next: number[] = []
      for (const i of current) {
        const state = this.#states[i]!
        if (state.test?.(codePoint)) next.push(state.next[0]!)
      }
      if (next.length === 0) return false
      current = this.#closure(next)
    }
    return current.has(this.#end)
  }

  /** All that can be reached without a character. */
  #closure(from: readonly number[]): Set<number> {
    const seen = new Set(from)
    // A set that grows is walked to its end.
    for (const i of seen) {
      const state = this.#states[i]!
      if (!state.test) for (const next of state.next) seen.add(next)
    }
    return seen
  }
}
