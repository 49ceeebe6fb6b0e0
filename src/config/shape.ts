import type { Path } from './problems.ts'
import type { Reader } from './reader.ts'
import type { MapNode, Node } from './tree.ts'

/**
 * What may stand at a place of the file. From shapes follow what is accepted, the JSON Schema that editors use, and the
 * reference in docs/configuration.md: each is said once.
 */
export interface Shape<out T> {
  /** In a word or two, for people: `duration`, `list of hosts`. */
  readonly type: string
  /** Undefined where a problem was found; the reader has heard of it. */
  read(node: Node, path: Path, reader: Reader): T | undefined
  json(definitions: Definitions): Json
  /** What stands below, for the reference. */
  readonly below?: Below
}

export type Below =
  | { readonly keys: Keys; readonly suffix?: string }
  | { readonly of: Shape<unknown>; readonly suffix: string }

export type Json = { readonly [key: string]: unknown }

/** Parts of a JSON Schema that stand in several places, by name. */
export type Definitions = Map<string, Json>

export interface Key<out T = unknown> {
  readonly shape: Shape<T>
  /** A sentence or two: what it does. */
  readonly help: string
  readonly required?: true
  /** What holds where it is not given; `otherwise` says it in words where it is no value. */
  readonly fallback?: string | number | boolean
  readonly otherwise?: string
  readonly examples?: readonly unknown[]
  /** The reference describes what is below elsewhere, under this path. */
  readonly see?: string
}

export type Keys = Readonly<Record<string, Key>>

export type Given<K extends Keys> = { readonly [N in keyof K]?: K[N] extends Key<infer T> ? T : never }

export function key<T>(shape: Shape<T>, help: string, more: Omit<Key<T>, 'shape' | 'help'> = {}): Key<T> {
  return { shape, help, ...more }
}

export interface Rules {
  /** One place for all uses of it in the JSON Schema. */
  readonly name?: string
  /** Exactly one of these must be there. */
  readonly oneOf?: readonly string[]
  /** A key, and those of which one must be there beside it. */
  readonly goesWith?: Readonly<Record<string, readonly string[]>>
  /** What to say of a key that is unknown here and known elsewhere. */
  readonly hints?: Readonly<Record<string, string>>
  /** What the schema cannot say. */
  readonly check?: (node: MapNode, path: Path, reader: Reader) => void
}

/** Known keys; any other is a mistake. */
export function object<const K extends Keys>(keys: K, rules: Rules = {}): Shape<Given<K>> {
  const names = Object.keys(keys)
  const required = names.filter(name => keys[name]!.required)
  return {
    type: 'object',
    below: { keys },
    read(node, path, reader) {
      if (node.kind !== 'map') return reader.mismatch(path, node, `an object with the keys ${listed(names)}`)
      for (const name of node.entries.keys())
        if (!Object.hasOwn(keys, name)) reader.unknownKey([...path, name], names, rules.hints?.[name])
      for (const name of required) if (!node.entries.has(name)) reader.missing(path, name)
      checkPairs(node, path, rules, reader)
      rules.check?.(node, path, reader)
      const out: [string, unknown][] = []
      for (const name of names) {
        const entry = node.entries.get(name)
        const value = entry && keys[name]!.shape.read(entry.value, [...path, name], reader)
        if (value !== undefined) out.push([name, value])
      }
      return Object.fromEntries(out) as Given<K>
    },
    json: definitions => defined(definitions, rules.name, () => objectSchema(keys, rules, definitions))
  }
}

function checkPairs(node: MapNode, path: Path, { oneOf, goesWith = {} }: Rules, reader: Reader): void {
  const given = oneOf?.filter(name => node.entries.has(name))
  if (given && given.length !== 1)
    reader.problem('key', given.length === 0 ? path : [...path, given[1]!], {
      wrong: given.length === 0 ? 'what it leads to is missing' : `excludes ${given[0]}`,
      allowed: `one of ${listed(oneOf!)}`
    })
  for (const [name, partners] of Object.entries(goesWith)) {
    if (!node.entries.has(name) || partners.some(p => node.entries.has(p))) continue
    reader.problem('key', [...path, name], { wrong: `goes with ${partners.join(' or ')}, which is not there` })
  }
}

function objectSchema(keys: Keys, { oneOf, goesWith }: Rules, definitions: Definitions): Json {
  const entries = Object.entries(keys)
  const required = entries.filter(([, k]) => k.required).map(([name]) => name)
  return {
    type: 'object',
    properties: Object.fromEntries(entries.map(([name, one]) => [name, keySchema(one, definitions)])),
    additionalProperties: false,
    ...(required.length > 0 && { required }),
    ...(oneOf && { oneOf: oneOf.map(name => ({ required: [name] })) }),
    ...(goesWith && {
      dependentSchemas: Object.fromEntries(
        Object.entries(goesWith).map(([name, partners]) => [name, { anyOf: partners.map(p => ({ required: [p] })) }])
      )
    })
  }
}

function keySchema({ shape, help, fallback, otherwise, examples }: Key, definitions: Definitions): Json {
  const sentence = `${help.charAt(0).toUpperCase()}${help.slice(1)}.`
  return {
    description: otherwise === undefined ? sentence : `${sentence} Default: ${otherwise}.`,
    ...shape.json(definitions),
    ...(fallback !== undefined && { default: fallback }),
    ...(examples && { examples })
  }
}

function defined(definitions: Definitions, name: string | undefined, make: () => Json): Json {
  if (name === undefined) return make()
  if (!definitions.has(name)) {
    definitions.set(name, {})
    definitions.set(name, make())
  }
  return { $ref: `#/$defs/${name}` }
}

/** Names of one's own, each with the same kind of value. */
export function named<T>(
  of: Shape<T>,
  rules: {
    readonly what: string
    readonly names: string
    readonly allowed: string
    readonly min?: number
    readonly suffix: string
    /** Two names that differ in case alone are one. */
    readonly anyCase?: true
  }
): Shape<Readonly<Record<string, T>>> {
  const wanted = new RegExp(`^(?:${rules.names})$`, 'u')
  return {
    type: rules.what,
    below: { of, suffix: rules.suffix },
    read(node, path, reader) {
      if (node.kind !== 'map') return reader.mismatch(path, node, rules.what)
      if (node.entries.size < (rules.min ?? 0))
        reader.problem('value', path, { wrong: 'is empty', allowed: 'at least one' })
      const out: [string, T][] = []
      const seen = new Set<string>()
      for (const [name, entry] of node.entries) {
        const at = [...path, name]
        const folded = rules.anyCase ? name.toLowerCase() : name
        if (seen.has(folded)) reader.problem('key', at, { wrong: 'is given twice, in another spelling' })
        seen.add(folded)
        if (!wanted.test(name))
          reader.problem('key', at, { wrong: 'is no name that can stand here', allowed: rules.allowed })
        const value = of.read(entry.value, at, reader)
        if (value !== undefined) out.push([name, value])
      }
      // Names like __proto__ become members like any other.
      return Object.fromEntries(out)
    },
    json: definitions => ({
      type: 'object',
      propertyNames: { pattern: wanted.source },
      additionalProperties: of.json(definitions),
      ...(rules.min !== undefined && { minProperties: rules.min })
    })
  }
}

export function list<T>(of: Shape<T>, what: string, min = 0): Shape<readonly T[]> {
  return {
    type: what,
    below: { of, suffix: '[]' },
    read(node, path, reader) {
      if (node.kind !== 'list') return reader.mismatch(path, node, `a ${what}`)
      if (node.items.length < min) reader.problem('value', path, { wrong: 'is empty', allowed: 'at least one' })
      const out: T[] = []
      for (const [i, item] of node.items.entries()) {
        const value = of.read(item, [...path, i], reader)
        if (value !== undefined) out.push(value)
      }
      return out
    },
    json: definitions => ({ type: 'array', items: of.json(definitions), ...(min > 0 && { minItems: min }) })
  }
}

/** A short form beside the long one: a single value, or an object that says more. */
export function either<A, B>(short: Shape<A>, long: Shape<B>): Shape<A | B> {
  return {
    type: `${short.type}, or ${long.type}`,
    ...(long.below && { below: long.below }),
    read: (node, path, reader) => (node.kind === 'map' ? long : short).read(node, path, reader),
    json: definitions => ({ anyOf: [short.json(definitions), long.json(definitions)] })
  }
}

/** `false` beside a value. */
export function offOr<T>(on: Shape<T>): Shape<T | false> {
  return {
    type: `${on.type}, or false`,
    ...(on.below && { below: on.below }),
    read: (node, path, reader) =>
      node.kind === 'scalar' && node.value === false ? false : on.read(node, path, reader),
    json: definitions => ({ anyOf: [{ const: false }, on.json(definitions)] })
  }
}

function listed(names: readonly string[]): string {
  return names.length > 1 ? `${names.slice(0, -1).join(', ')} and ${names.at(-1)}` : names.join('')
}
