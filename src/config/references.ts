// biome-ignore-all lint/suspicious/noTemplateCurlyInString: references of configuration files look like that
/**
 * What a text of the file may refer to: `${NAME}` is a variable of the environment, `file:PATH` the content of a file. They are
 * replaced in values that were read already, never in the text of the file, so that no variable can add a key or a route.
 */

/** Where referred things come from. */
export interface Sources {
  variable(name: string): string | undefined
  /** Without its last line break. Throws Refusal, which names the file as it is written: variables in it may be secret. */
  file(path: string, written: string): string
}

/** A part of a text that came from elsewhere. */
export interface Piece {
  /** The variable's name; undefined for a file. */
  readonly variable?: string
  readonly value: string
}

export interface Expanded {
  readonly text: string
  readonly pieces: readonly Piece[]
}

/** `message` says what is wrong, `allowed` what to write instead; neither holds a value that may be secret. */
export class Refusal extends Error {
  override readonly name = 'Refusal'
  readonly allowed: string | undefined
  constructor(message: string, allowed?: string) {
    super(message)
    this.allowed = allowed
  }
}

const FILE = 'file:'
/** How a text begins that is to begin with `file:` itself. */
const LITERAL_FILE = '$$file:'
const VARIABLE = /^\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^{}]*))?\}/

/** Whether there is anything to be replaced. */
export function refers(text: string): boolean {
  return text.startsWith(FILE) || text.includes('${')
}

/** Throws Refusal. */
export function expand(text: string, sources: Sources): Expanded {
  if (text.startsWith(LITERAL_FILE)) return variablesIn(text.slice(2), sources)
  if (!text.startsWith(FILE)) return text.includes('${') ? variablesIn(text, sources) : { text, pieces: [] }
  const written = text.slice(FILE.length)
  const path = variablesIn(written, sources).text
  if (path === '') throw new Refusal("'file:' names no file", 'file:PATH')
  const value = sources.file(path, written)
  return { text: value, pieces: [{ value }] }
}

function variablesIn(text: string, sources: Sources): Expanded {
  const pieces: Piece[] = []
  let out = ''
  let from = 0
  for (let at = text.indexOf('${'); at >= 0; at = text.indexOf('${', from)) {
    if (at > from && text[at - 1] === '$') {
      out += `${text.slice(from, at - 1)}\${`
      from = at + 2
      continue
    }
    out += text.slice(from, at)
    const match = VARIABLE.exec(text.slice(at, at + MAX_REFERENCE))
    if (!match) throw new Refusal("'${' begins no variable", '${NAME}, ${NAME:-default}, or $${ for the text ${')
    const value = variableOf(match[1]!, match[2], sources)
    if (value.piece) pieces.push(value.piece)
    out += value.text
    if (out.length > MAX_TEXT) throw new Refusal(`is longer than ${MAX_TEXT} characters with its variables`)
    from = at + match[0].length
  }
  return { text: out + text.slice(from), pieces }
}

/** Characters of `${NAME:-default}`, and of a text with all variables in it. */
const MAX_REFERENCE = 4096
const MAX_TEXT = 1024 * 1024

function variableOf(name: string, fallback: string | undefined, sources: Sources): { text: string; piece?: Piece } {
  const value = sources.variable(name)
  if (fallback !== undefined && (value === undefined || value === '')) return { text: fallback }
  if (value === undefined)
    throw new Refusal(`the variable ${name} is not set`, `it a value in the environment, or write \${${name}:-default}`)
  return { text: value, piece: { variable: name, value } }
}
