import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  parseDocument,
  type YAMLMap,
  type Node as YamlNode
} from 'yaml'
import { excerpt } from '../printable.ts'
import type { Findings, Path, Place } from './problems.ts'

/** What a file says, apart from how it spells it; `at` is where, as an offset into the text. */
export type Node = MapNode | ListNode | ScalarNode

export interface MapNode {
  readonly kind: 'map'
  readonly at: number
  readonly entries: ReadonlyMap<string, Entry>
}

export interface Entry {
  /** Of the key. */
  readonly at: number
  readonly value: Node
}

export interface ListNode {
  readonly kind: 'list'
  readonly at: number
  readonly items: readonly Node[]
}

export interface ScalarNode {
  readonly kind: 'scalar'
  readonly at: number
  readonly value: string | number | boolean | null
  /** As it is written, without quotes. */
  readonly text: string
}

/** A file that was taken apart: its values, and where each stands. */
export interface Tree {
  /** Undefined where the file cannot be read at all; the findings say why. */
  readonly root: Node | undefined
  placeAt(offset: number): Place
}

/** Nothing that people write comes near; a file made to be read for ever does. */
const MAX_VALUES = 20_000
/** Words, signs and blanks. The parser takes half a second for them, and many seconds for all that a file can hold. */
const MAX_TOKENS = 100_000
const MAX_DEPTH = 32
const TOO_DEEP = `the file is nested too deeply (more than ${MAX_DEPTH})`

/** YAML 1.2 (core schema), and with it JSON. Never throws: whatever is wrong is among the findings. */
export function parseTree(text: string, findings: Findings): Tree {
  const lines = new LineCounter()
  const placeAt = (offset: number): Place => {
    const { line, col } = lines.linePos(offset)
    return line === 0 ? { line: 1, column: 1 } : { line, column: col }
  }
  const tooMuch = excess(text)
  const document = tooMuch === undefined ? parsed(text, lines) : undefined
  if (!document) {
    findings.add({ line: 1, column: 1 }, [], { wrong: tooMuch ?? TOO_DEEP })
    return { root: undefined, placeAt }
  }
  const { yaml } = document.directives ?? {}
  if (yaml?.explicit && yaml.version !== '1.2')
    findings.add({ line: 1, column: 1 }, [], { wrong: `YAML ${yaml.version} is not read here`, allowed: 'YAML 1.2' })
  for (const { message, pos } of [...document.errors, ...document.warnings])
    findings.add(placeAt(pos[0]), [], { wrong: withoutSource(message) })
  if (findings.any) return { root: undefined, placeAt }
  const converter = new Converter(findings, placeAt)
  const root = document.contents === null ? emptyAt(0) : converter.node(document.contents, [])
  return { root: findings.any ? undefined : root, placeAt }
}

/** What makes it not worth reading; undefined for what people write. */
function excess(text: string): string | undefined {
  let depth = 0
  let tokens = 0
  let isScalar = false
  for (const token of new Lexer().lex(text)) {
    if (++tokens > MAX_TOKENS) return `the file holds too much (more than ${MAX_TOKENS} words and signs)`
    if (!isScalar && (token === '[' || token === '{') && ++depth > MAX_DEPTH) return TOO_DEEP
    if (!isScalar && (token === ']' || token === '}')) depth--
    isScalar = token === SCALAR
  }
  return undefined
}

/** The lexer says so of the text that follows. */
const SCALAR = '\u001f'

function parsed(text: string, lineCounter: LineCounter): Document | undefined {
  const { stackTraceLimit } = Error
  // Each mistake makes an error, whose stack nobody reads: in a file of many, stacks take most of the time.
  Error.stackTraceLimit = 0
  try {
    return parseDocument(text, {
      version: '1.2',
      schema: 'core',
      resolveKnownTags: false,
      merge: false,
      stringKeys: true,
      // Comparing each key with each other takes for ever in a file of many; the tree keeps them apart by itself.
      uniqueKeys: false,
      prettyErrors: false,
      logLevel: 'error',
      lineCounter
    })
  } catch {
    // The parser has no bound on depth but the stack's.
    return undefined
  } finally {
    Error.stackTraceLimit = stackTraceLimit
  }
}

/** The parser repeats what it could not read, and that may be a part of a secret. */
function withoutSource(message: string): string {
  if (/multiple documents/.test(message)) return 'a second document begins here, and a file holds one'
  if (/call stack/.test(message)) return TOO_DEEP
  if (/all keys must be strings/.test(message)) return 'a key is a plain name here'
  // A text that begins like a tag may be a secret that was not quoted.
  if (/^Unresolved tag|resolve tag/.test(message)) return 'an unknown tag (!…); a text that begins with ! is quoted'
  if (/^Unknown directive/.test(message)) return 'an unknown directive (%…); a text that begins with % is quoted'
  if (/extra characters/.test(message)) return 'behind | or > the line ends; a text that begins so is quoted'
  return excerpt(message.replace(/: ".*$/s, '').replace(/\s+/g, ' '), 200)
}

function emptyAt(at: number): ScalarNode {
  return { kind: 'scalar', at, value: null, text: '' }
}

/** Aliases become what they stand for, as long as that stays small. */
class Converter {
  readonly #findings: Findings
  readonly #placeAt: (offset: number) => Place
  readonly #anchors = new Map<string, { readonly node: Node; readonly size: number } | 'open'>()
  #count = 0

  constructor(findings: Findings, placeAt: (offset: number) => Place) {
    this.#findings = findings
    this.#placeAt = placeAt
  }

  node(from: YamlNode, path: Path): Node {
    const at = from.range?.[0] ?? 0
    if (++this.#count > MAX_VALUES)
      return this.#refused(at, [], `the file holds too many values (more than ${MAX_VALUES}, aliases counted)`)
    if (path.length > MAX_DEPTH) return this.#refused(at, [], TOO_DEEP)
    if (isAlias(from)) return this.#alias(from.source, at, path)
    if (from.tag !== undefined)
      return this.#refused(at, path, 'tags (!…) are not read here', 'the value without its tag')
    const { anchor } = from
    const before = this.#count
    if (anchor !== undefined) this.#anchors.set(anchor, 'open')
    const node = this.#plain(from, at, path)
    if (anchor !== undefined) this.#anchors.set(anchor, { node, size: this.#count - before + 1 })
    return node
  }

  #plain(from: YamlNode, at: number, path: Path): Node {
    if (isMap(from)) return this.#map(from, at, path)
    if (isSeq(from)) {
      const items: Node[] = []
      for (const item of from.items as YamlNode[]) {
        if (this.#count > MAX_VALUES) break
        items.push(this.node(item, [...path, items.length]))
      }
      return { kind: 'list', at, items }
    }
    if (!isScalar(from)) return emptyAt(at)
    const { value } = from
    const plain = typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? value : null
    return { kind: 'scalar', at, value: plain, text: from.source ?? '' }
  }

  #map(from: YAMLMap, at: number, path: Path): MapNode {
    const entries = new Map<string, Entry>()
    for (const { key, value } of from.items as { key: YamlNode | null; value: YamlNode | null }[]) {
      if (this.#count > MAX_VALUES) break
      const keyAt = key?.range?.[0] ?? at
      const name = String(isScalar(key) ? key.value : '')
      const first = entries.get(name)
      if (!isScalar(key) || key.tag !== undefined) this.#refused(keyAt, path, 'a key is a plain name here')
      else if (first)
        this.#refused(keyAt, [...path, name], `is given twice; the first is in line ${this.#placeAt(first.at).line}`)
      else entries.set(name, { at: keyAt, value: value === null ? emptyAt(keyAt) : this.node(value, [...path, name]) })
    }
    return { kind: 'map', at, entries }
  }

  #alias(name: string, at: number, path: Path): Node {
    const found = this.#anchors.get(name)
    if (found === undefined)
      return this.#refused(at, path, 'the alias (*…) names nothing above it; a text that begins with * is quoted')
    if (found === 'open') return this.#refused(at, path, 'the alias (*…) stands within what it names')
    // What it stands for is read as often as it is named: thousands of names for each other would make millions of values.
    this.#count += found.size
    if (this.#count > MAX_VALUES)
      return this.#refused(at, [], `the file holds too many values (more than ${MAX_VALUES}, aliases counted)`)
    return found.node
  }

  #refused(at: number, path: Path, wrong: string, allowed?: string): ScalarNode {
    this.#findings.add(this.#placeAt(at), path, { wrong, ...(allowed !== undefined && { allowed }) })
    return emptyAt(at)
  }
}

/** Where the deepest part of the path stands that is in the file: its key, or its value. */
export function offsetOf(root: Node | undefined, path: Path, what: 'key' | 'value'): number {
  let node = root
  let at = root?.at ?? 0
  for (const part of path) {
    if (node?.kind === 'map' && typeof part === 'string') {
      const entry = node.entries.get(part)
      if (!entry) return at
      node = entry.value
      at = what === 'key' || isBlock(node) ? entry.at : node.at
    } else if (node?.kind === 'list' && typeof part === 'number') {
      const item = node.items[part]
      if (!item) return at
      node = item
      at = item.at
    } else return at
  }
  return at
}

/** What spans lines is shown by its name. */
function isBlock(node: Node): boolean {
  return node.kind !== 'scalar' || node.value === null
}
