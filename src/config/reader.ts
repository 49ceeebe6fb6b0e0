import path from 'node:path'
import { excerpt } from '../printable.ts'
import { looksSecret } from '../proxy/secrets.ts'
import { isSecretName } from '../tape/secret-names.ts'
import { nearest } from './near.ts'
import type { Finding, Findings, Path } from './problems.ts'
import { type Expanded, expand, type Piece, Refusal, type Sources } from './references.ts'
import { type Node, offsetOf, type ScalarNode, type Tree } from './tree.ts'

/** The content of a file, or why there is none. */
export type FileContent = { readonly text: string } | { readonly failure: string }

export interface ReaderOptions {
  readonly tree: Tree
  readonly findings: Findings
  /** Things that are wise to change; they refuse nothing. */
  readonly advice: Findings
  /** Paths of the file are relative to it. */
  readonly folder: string
  readonly env: Readonly<Record<string, string | undefined>>
  /** What was read so far, by absolute path. */
  readonly files: ReadonlyMap<string, FileContent>
}

/** Variables may be long, and named often: what they may come to in all, in characters. */
const MAX_EXPANDED = 8 * 1024 * 1024

/** How the shapes of the schema look into one file: positions, references, and where to put what they find. */
export class Reader implements Sources {
  readonly #options: ReaderOptions
  readonly #secrets = new Set<string>()
  readonly #wanted = new Set<string>()
  #expanded = 0

  constructor(options: ReaderOptions) {
    this.#options = options
  }

  /** Files that have to be read first; all else that was found is of no use until then. */
  get wanted(): ReadonlySet<string> {
    return this.#wanted
  }

  /** What came from elsewhere and may be secret. */
  get secrets(): string[] {
    return [...this.#secrets]
  }

  problem(what: 'key' | 'value', at: Path, finding: Finding): undefined {
    const { tree, findings } = this.#options
    findings.add(tree.placeAt(offsetOf(tree.root, at, what)), at, finding)
  }

  /** Whether something is wrong with what stands at this place, or below it. */
  isFaulty(at: Path): boolean {
    return this.#options.findings.under(at)
  }

  /** Legal, but hardly meant. */
  advise(at: Path, wrong: string): void {
    const { tree, advice } = this.#options
    advice.add(tree.placeAt(offsetOf(tree.root, at, 'value')), at, { wrong })
  }

  /** Not what can stand there at all. */
  mismatch(at: Path, node: Node, allowed: string): undefined {
    const isEmpty = node.kind === 'scalar' && node.value === null
    this.problem('value', at, { wrong: isEmpty ? 'is empty' : `is ${KINDS[node.kind]}`, allowed })
  }

  unknownKey(at: Path, known: readonly string[], hint: string | undefined): void {
    const meant = hint ?? nearest(String(at.at(-1)), known)
    const allowed = meant === undefined ? `one of ${known.filter(name => !name.startsWith('$')).join(', ')}` : undefined
    this.problem('key', at, { wrong: 'no such key', ...(allowed && { allowed }), ...(meant && { meant }) })
  }

  missing(at: Path, name: string): void {
    this.problem('key', at, { wrong: `${name} is missing` })
  }

  /** A text with its references replaced; undefined where one cannot be. */
  expand(node: ScalarNode, at: Path): Expanded | undefined {
    const text = typeof node.value === 'string' ? node.value : node.text
    try {
      const expanded = expand(text, this)
      if (expanded.pieces.length > 0) this.#expanded += expanded.text.length
      if (this.#expanded > MAX_EXPANDED) throw new Refusal('variables and files make the values too long')
      return expanded
    } catch (error) {
      return this.refused(at, error)
    }
  }

  /** A Refusal becomes a problem; anything else is a fault of ours. */
  refused(at: Path, error: unknown): undefined {
    if (!(error instanceof Refusal)) throw error
    const { message, allowed } = error
    this.problem('value', at, { wrong: message, ...(allowed !== undefined && { allowed }) })
  }

  variable(name: string): string | undefined {
    const { env } = this.#options
    return Object.hasOwn(env, name) ? env[name] : undefined
  }

  /** Throws Refusal. */
  file(name: string, written: string): string {
    const full = this.resolve(name)
    const content = this.#options.files.get(full)
    if (content && 'text' in content) return content.text
    if (!content) this.#wanted.add(full)
    throw new Refusal(
      `the file ${excerpt(name === written ? full : written, 256)} cannot be read${content ? `: ${content.failure}` : ''}`
    )
  }

  /** Relative to the folder of the configuration file; an ending slash stays. */
  resolve(name: string): string {
    const full = path.resolve(this.#options.folder, name)
    return /[/\\]$/.test(name) && !full.endsWith(path.sep) ? `${full}${path.sep}` : full
  }

  /** Whatever came from elsewhere, but for words and numbers that stand everywhere. */
  keepSecret(pieces: readonly Piece[], always: boolean): void {
    for (const { variable, value } of pieces) {
      const secret = always || variable === undefined || isSecretName(variable) || looksSecret(value)
      if (secret && value !== '') this.#secrets.add(value)
    }
  }
}

const KINDS = { map: 'an object', list: 'a list', scalar: 'a single value' } as const
