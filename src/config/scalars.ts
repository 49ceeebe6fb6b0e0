// biome-ignore-all lint/suspicious/noTemplateCurlyInString: references of configuration files look like that
import { excerpt } from '../printable.ts'
import { nearest } from './near.ts'
import type { Path } from './problems.ts'
import type { Reader } from './reader.ts'
import { type Piece, Refusal, refers } from './references.ts'
import type { Definitions, Json, Shape } from './shape.ts'
import type { Node, ScalarNode } from './tree.ts'

/** A single value, and what it means. */
export interface TextRules<T> {
  readonly type: string
  /** Of the whole text. Checked before `parse`, and what editors check. */
  readonly pattern: string
  /** Completes "give …". */
  readonly allowed: string
  /** Throws where the text means nothing: a Refusal tells why, anything else is said as `allowed`. */
  readonly parse?: (text: string, reader: Reader, origin: Origin) => T
  /** Values that need no quotes, as a JSON Schema: they stand for the text they are written as. */
  readonly plain?: Json
  /**
   * Whether what variables bring is secret. Always so for tokens and headers, whose values no message shows, either; never so for
   * numbers and names; in a URL it is all but the host; else it depends on how it looks.
   */
  readonly secrecy?: 'always' | 'never' | 'url'
}

/** How a text came to be. */
export interface Origin {
  /** As it stands in the configuration file. */
  readonly written: string
  readonly pieces: readonly Piece[]
}

export function text<T = string>(rules: TextRules<T>): Shape<T> {
  const wanted = new RegExp(`^(?:${rules.pattern})$`, 'u')
  return {
    type: rules.type,
    read(node, path, reader) {
      const given = scalarOf(node, path, reader, rules)
      const expanded = given && reader.expand(given, path)
      if (!expanded) return undefined
      keepSecret(expanded.text, expanded.pieces, rules.secrecy, reader)
      try {
        if (!wanted.test(expanded.text)) throw new TypeError()
        return rules.parse
          ? rules.parse(expanded.text, reader, { written: given!.text, pieces: expanded.pieces })
          : (expanded.text as T)
      } catch (error) {
        if (error instanceof Refusal) return reader.refused(path, error)
        return reader.problem('value', path, {
          wrong: `${shown(given!, rules)} is not allowed`,
          allowed: rules.allowed
        })
      }
    },
    json: definitions => {
      const own = { type: 'string', pattern: wanted.source }
      return { anyOf: [own, ...(rules.plain ? [rules.plain] : []), reference(definitions)] }
    }
  }
}

function scalarOf<T>(node: Node, path: Path, reader: Reader, { plain, allowed }: TextRules<T>): ScalarNode | undefined {
  const isText = node.kind === 'scalar' && (typeof node.value === 'string' || (plain && node.value !== null))
  if (isText) return node
  if (node.kind !== 'scalar' || node.value === null) return reader.mismatch(path, node, allowed)
  return reader.problem('value', path, {
    wrong: `is a ${typeof node.value}, not text`,
    allowed: `${allowed}, in quotes`
  })
}

function keepSecret(
  whole: string,
  pieces: readonly Piece[],
  secrecy: TextRules<unknown>['secrecy'],
  reader: Reader
): void {
  if (secrecy === 'never' || pieces.length === 0) return
  if (secrecy !== 'url') return reader.keepSecret(pieces, secrecy === 'always')
  const host = URL.canParse(whole) ? new URL(whole).host : ''
  reader.keepSecret(
    pieces.filter(({ value }) => !host.includes(value.toLowerCase())),
    true
  )
}

/** As it stands in the file: neither what variables hold, nor tokens, nor credentials in URLs. */
function shown(node: ScalarNode, { secrecy }: Pick<TextRules<unknown>, 'secrecy'>): string {
  if (node.value === '') return "''"
  if (secrecy === 'always' && !refers(node.text)) return 'what is given here'
  // A password may hold what would end it (`/`, `#`) if it is not escaped: all before the last @ goes. So does what stands
  // where only the name of a header should.
  const plain = node.text
    .replace(/^([\w+.-]+:\/\/)?.*@/s, '$1…@')
    .replace(/([?#]).*/s, '$1…')
    .replace(/^([\w-]+ ?(?:: |=)).*/s, '$1…')
  return `'${excerpt(plain, 80)}'`
}

/** What editors cannot judge: it is known only where catflap runs. */
function reference(definitions: Definitions): Json {
  definitions.set('reference', {
    description: '${NAME} takes an environment variable, file:PATH the content of a file.',
    type: 'string',
    pattern: '^file:|(?:^|[^$])\\$\\{'
  })
  return { $ref: '#/$defs/reference' }
}

export interface NumberRules {
  readonly type: string
  /** Of the text. */
  readonly pattern: string
  readonly allowed: string
  readonly min: number
  readonly max: number
  /** Of a bare number, in JSON Schema. */
  readonly bare: Json
  /** Throws. */
  readonly parse: (text: string) => number
}

/** A number as people write it: with a unit, or bare. */
export function quantity(rules: NumberRules): Shape<number> {
  const wanted = new RegExp(`^(?:${rules.pattern})$`, 'u')
  return {
    type: rules.type,
    read(node, path, reader) {
      if (node.kind !== 'scalar' || node.value === null || typeof node.value === 'boolean')
        return reader.mismatch(path, node, rules.allowed)
      const given = typeof node.value === 'number' ? String(node.value) : reader.expand(node, path)?.text
      if (given === undefined) return undefined
      const value = wanted.test(given) ? rules.parse(given) : Number.NaN
      if (Number.isSafeInteger(value) && value >= rules.min && value <= rules.max) return value
      return reader.problem('value', path, { wrong: `${shown(node, {})} is not allowed`, allowed: rules.allowed })
    },
    json: definitions => ({ anyOf: [rules.bare, { type: 'string', pattern: wanted.source }, reference(definitions)] })
  }
}

export function choice<const T extends string>(values: readonly T[]): Shape<T> {
  const isOne = (value: string): value is T => (values as readonly string[]).includes(value)
  return {
    type: values.map(v => `\`${v}\``).join(', '),
    read(node, path, reader) {
      const allowed = `one of ${values.join(', ')}`
      if (node.kind !== 'scalar' || node.value === null) return reader.mismatch(path, node, allowed)
      const given = typeof node.value === 'string' ? reader.expand(node, path)?.text : ''
      if (given === undefined || isOne(given)) return given
      const meant = refers(node.text) ? undefined : nearest(given, values)
      return reader.problem('value', path, {
        wrong: `${shown(node, {})} is not allowed`,
        allowed,
        ...(meant && { meant })
      })
    },
    json: definitions => ({ anyOf: [{ enum: values }, reference(definitions)] })
  }
}

/** true or false; in quotes only where a variable says it. */
export const flag: Shape<boolean> = {
  type: '`true`, `false`',
  read(node, path, reader) {
    const allowed = 'true or false'
    if (node.kind !== 'scalar' || node.value === null) return reader.mismatch(path, node, allowed)
    if (typeof node.value === 'boolean') return node.value
    const isReference = typeof node.value === 'string' && refers(node.value)
    const given = isReference ? reader.expand(node, path)?.text : ''
    if (given === undefined) return undefined
    if (given === 'true' || given === 'false') return given === 'true'
    return reader.problem('value', path, { wrong: `${shown(node, {})} is not allowed`, allowed })
  },
  json: definitions => ({ anyOf: [{ type: 'boolean' }, reference(definitions)] })
}
