import { isUtf8 } from 'node:buffer'

/**
 * What a tool's arguments add to the headers of its calls (spec 2026-07-28 basic/transports/streamable-http, "Custom Headers
 * from Tool Parameters", and server/tools, "x-mcp-header").
 */
export interface HeaderParam {
  /** What follows `Mcp-Param-`. */
  readonly header: string
  /** Where the value stands in the arguments: the names of nested members. */
  readonly path: readonly string[]
  readonly type: 'string' | 'integer' | 'boolean'
}

/** The annotated parameters of a tool, or why its annotations are invalid. */
export type ToolHeaders = { readonly params: readonly HeaderParam[] } | { readonly invalid: string }

const ANNOTATION = 'x-mcp-header'
/** RFC 9110 §5.6.2. */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
/** Schemas come from servers: one that is nested without end must not exhaust the stack. */
const MAX_DEPTH = 200

/** Keywords that hold a schema, or a list of them, which no chain to an annotation may pass. */
const SUBSCHEMAS = [
  'items',
  'additionalItems',
  'prefixItems',
  'unevaluatedItems',
  'contains',
  'additionalProperties',
  'unevaluatedProperties',
  'propertyNames',
  'oneOf',
  'anyOf',
  'allOf',
  'not',
  'if',
  'then',
  'else',
  'contentSchema'
]

/** Those that hold schemas by name. */
const NAMED_SUBSCHEMAS = ['patternProperties', 'dependentSchemas', 'dependencies', '$defs', 'definitions']

const NO_PARAMS: ToolHeaders = { params: [] }

export function toolHeaders(inputSchema: unknown): ToolHeaders {
  const params: HeaderParam[] = []
  const invalid = visit(inputSchema, [], true, 0, { params, names: new Set() })
  if (invalid !== undefined) return { invalid }
  return params.length === 0 ? NO_PARAMS : { params }
}

/** What was found so far. */
interface Found {
  readonly params: HeaderParam[]
  /** In lower case. */
  readonly names: Set<string>
}

/** Collects the annotations of a schema and what is beneath it. Returns what is wrong with them. */
function visit(
  schema: unknown,
  path: readonly string[],
  reachable: boolean,
  depth: number,
  found: Found
): string | undefined {
  if (!isObject(schema)) return undefined
  if (depth > MAX_DEPTH) return 'the schema is nested too deeply'
  if (Object.hasOwn(schema, ANNOTATION)) {
    const wrong = annotated(schema, path, reachable, found)
    if (wrong !== undefined) return wrong
  }
  const beneath = (child: unknown): string | undefined => visit(child, path, false, depth + 1, found)
  if (isObject(schema.properties)) {
    for (const [name, child] of Object.entries(schema.properties)) {
      const wrong = visit(child, [...path, name], reachable, depth + 1, found)
      if (wrong !== undefined) return wrong
    }
  }
  for (const keyword of SUBSCHEMAS) {
    const wrong = first([own(schema, keyword)].flat(), beneath)
    if (wrong !== undefined) return wrong
  }
  for (const keyword of NAMED_SUBSCHEMAS) {
    const named = own(schema, keyword)
    const wrong = isObject(named) ? first(Object.values(named), beneath) : undefined
    if (wrong !== undefined) return wrong
  }
  return undefined
}

function annotated(
  schema: Readonly<Record<string, unknown>>,
  path: readonly string[],
  reachable: boolean,
  { params, names }: Found
): string | undefined {
  const where = path.length === 0 ? 'the schema itself' : `'${path.join('.')}'`
  const header = schema[ANNOTATION]
  const { type } = schema
  if (!reachable || path.length === 0)
    return `${where} has x-mcp-header where only a chain of 'properties' may lead to one`
  if (typeof header !== 'string' || !TOKEN.test(header)) return `the x-mcp-header of ${where} is no header name`
  if (type !== 'string' && type !== 'integer' && type !== 'boolean')
    return `${where} has x-mcp-header, but is neither string nor integer nor boolean`
  const lower = header.toLowerCase()
  if (names.has(lower)) return `two parameters have the x-mcp-header '${header}'`
  names.add(lower)
  params.push({ header, path, type })
  return undefined
}

function first(values: readonly unknown[], test: (value: unknown) => string | undefined): string | undefined {
  for (const value of values) {
    const wrong = test(value)
    if (wrong !== undefined) return wrong
  }
  return undefined
}

/** name, value, name, value …: `Mcp-Param-*` for these arguments. */
export function paramHeaders(params: readonly HeaderParam[], args: unknown): string[] {
  const out: string[] = []
  for (const param of params) {
    const text = paramText(argumentAt(args, param.path))
    if (text !== undefined) out.push(`Mcp-Param-${param.header}`, encodeHeaderValue(text))
  }
  return out
}

/** The value at that path, undefined where there is none. Only own members count: arguments come from anywhere. */
export function argumentAt(args: unknown, path: readonly string[]): unknown {
  let value = args
  for (const name of path) {
    if (!isObject(value)) return undefined
    value = own(value, name)
  }
  return value
}

/** A value as a header has it; undefined where there is to be none ("Type conversion"). */
export function paramText(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  if (typeof value === 'boolean') return String(value)
  // Beyond the safe range a number may not be what its sender wrote.
  if (typeof value !== 'number' || (Number.isInteger(value) && !Number.isSafeInteger(value))) return undefined
  return Number.isFinite(value) ? String(value) : undefined
}

const SENTINEL_START = '=?base64?'
const SENTINEL_END = '?='

/** Base64 where a header could not carry the value ("Value Encoding"). */
export function encodeHeaderValue(value: string): string {
  const plain = /^[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?$/.test(value) || value === ''
  const sentinel = value.startsWith(SENTINEL_START) && value.endsWith(SENTINEL_END)
  return plain && !sentinel ? value : `${SENTINEL_START}${Buffer.from(value).toString('base64')}${SENTINEL_END}`
}

/** What a header's value stands for; undefined where it is malformed Base64, or has characters that no header may have. */
export function decodeHeaderValue(value: string): string | undefined {
  const text = withoutBlanks(value)
  if (!/^[\x20-\x7e\t]*$/.test(text)) return undefined
  if (!text.startsWith(SENTINEL_START) || !text.endsWith(SENTINEL_END)) return text
  const base64 = text.slice(SENTINEL_START.length, -SENTINEL_END.length)
  const bytes = Buffer.from(base64, 'base64')
  // Node's decoder skips what is no Base64, and takes missing padding: writing it again shows whether it did.
  const whole = text.length >= SENTINEL_START.length + SENTINEL_END.length && bytes.toString('base64') === base64
  return whole && isUtf8(bytes) ? bytes.toString('utf8') : undefined
}

/** RFC 9110 §5.5: blanks around a value are no part of it. (`trim` would take other spaces too, which may not be there at all.) */
export function withoutBlanks(value: string): string {
  let start = 0
  let end = value.length
  while (start < end && isBlank(value, start)) start++
  while (end > start && isBlank(value, end - 1)) end--
  return value.slice(start, end)
}

function isBlank(value: string, at: number): boolean {
  return value[at] === ' ' || value[at] === '\t'
}

/** Names of tools that a server can make us remember, with their parameters. */
const MAX_ENTRIES = 10_000
const MAX_NAME = 1_024

/** Tools by name as tools/list told them. When it is full, tools that are new to it stay unknown. */
export class ToolCatalog {
  readonly #tools = new Map<string, ToolHeaders>()
  #entries = 0

  /** `tools`: `result.tools`. Returns those whose annotations are invalid. */
  learn(tools: unknown): { invalid: { name: string; reason: string }[] } {
    const invalid: { name: string; reason: string }[] = []
    if (!Array.isArray(tools)) return { invalid }
    for (const tool of tools as readonly unknown[]) {
      if (!isObject(tool)) continue
      const { name } = tool
      if (typeof name !== 'string') continue
      const headers = toolHeaders(tool.inputSchema)
      if ('invalid' in headers) invalid.push({ name, reason: headers.invalid })
      this.#keep(name, headers)
    }
    return { invalid }
  }

  #keep(name: string, headers: ToolHeaders): void {
    const before = this.#tools.get(name)
    const entries = this.#entries + weight(headers) - (before ? weight(before) : 0)
    if (name.length > MAX_NAME || entries > MAX_ENTRIES) return
    this.#entries = entries
    this.#tools.set(name, headers)
  }

  get(name: string): ToolHeaders | undefined {
    return this.#tools.get(name)
  }

  get size(): number {
    return this.#tools.size
  }

  clear(): void {
    this.#tools.clear()
    this.#entries = 0
  }
}

function weight(headers: ToolHeaders): number {
  return 'params' in headers ? 1 + headers.params.length : 1
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function own(object: Readonly<Record<string, unknown>>, name: string): unknown {
  return Object.hasOwn(object, name) ? object[name] : undefined
}
