import { pathText } from '../config/problems.ts'
import { isEqualJson } from '../replay/json-diff.ts'
import { compareComposed } from './schema-composed.ts'
import { ANNOTATIONS, comparePlain, PLAIN } from './schema-keywords.ts'
import { compareMembers } from './schema-members.ts'
import { isSchema, References, refsIn, type Schema, type SchemaPath } from './schema-refs.ts'

/** What of a changed JSON Schema breaks clients that worked. */
export interface Break {
  /** Within the old schema: `.properties.path.type`. */
  readonly path: string
  readonly why: string
  /** Where the schema refers to that place, and referred to another one before or after. */
  readonly via?: readonly string[]
}

/**
 * `input`: what clients send, so that the server may ask for no more and accept no less than before. `output`: what they get,
 * so that the server may promise no less and send no more kinds of things than before.
 */
export type SchemaUse = 'input' | 'output'

/** Where a comparison is, and what for. */
export interface At {
  readonly use: SchemaUse
  /** What JSON Schema says counts alone, without what servers mean by it: that a new argument is one that nobody gave before. */
  readonly strict: boolean
  readonly path: SchemaPath
  readonly via: readonly SchemaPath[]
  readonly depth: number
}

/** What the keywords that hold schemas need. A schema that is absent is given as `true`, or `false` where that is what it means. */
export interface Comparing {
  compare(before: unknown, after: unknown, at: At): void
  /** As they are written, and with all that they refer to. */
  isSame(before: unknown, after: unknown): boolean
  /** Whether comparing them would find something. */
  isBroken(before: unknown, after: unknown, at: At): boolean
  tell(at: At, keys: SchemaPath, why: string): void
}

/** Deeper schemas, and larger ones, are not looked at: any change of them may break clients. */
const MAX_DEPTH = 50
const MAX_STEPS = 10_000

const NOT_COMPARED = 'it may break clients: it is too large to be compared'

export function schemaBreaks(before: unknown, after: unknown, use: SchemaUse): Break[] {
  if (!isAnySchema(before) || !isAnySchema(after)) return []
  const [old, now] = [new References(before), new References(after)]
  const found = new Comparison(old, now, {
    count: 0,
    last: 0,
    ids: new WeakMap(),
    equal: new Set(),
    sameRefs: new Map()
  })
  found.compare(before, after, { use, strict: false, path: [], via: [], depth: 0 })
  return found.breaks
}

function isAnySchema(value: unknown): value is Schema | boolean {
  return isSchema(value) || typeof value === 'boolean'
}

interface Steps {
  count: number
  last: number
  readonly ids: WeakMap<object, number>
  /** Pairs in which nothing was found. */
  readonly equal: Set<string>
  /** Whether what a reference leads to is the same before and after. */
  readonly sameRefs: Map<string, boolean>
}

class Comparison implements Comparing {
  readonly breaks: Break[] = []
  readonly #then: References
  readonly #now: References
  readonly #steps: Steps
  /** Pairs that are being compared: what refers back to them adds nothing. */
  readonly #under: Set<string>

  constructor(before: References, after: References, steps: Steps, under = new Set<string>()) {
    this.#then = before
    this.#now = after
    this.#steps = steps
    this.#under = under
  }

  compare(before: unknown, after: unknown, at: At): void {
    if (this.isSame(before, after)) return
    if (at.depth > MAX_DEPTH || ++this.#steps.count > MAX_STEPS) return this.tell(at, [], NOT_COMPARED)
    const [old, now] = [this.#then.follow(before, at.path), this.#now.follow(after, at.path)]
    const isSamePlace = isEqualJson([old.refs, old.path], [now.refs, now.path])
    const via = [...at.via, ...(isSamePlace ? [] : [at.path]), ...old.also, ...now.also]
    const here = { ...at, path: old.path, via, depth: at.depth + 1 }
    if (!isAnySchema(old.schema) || !isAnySchema(now.schema)) {
      this.tell(here, [], 'it may break clients: one of them is no schema')
    } else if (old.schema === false || now.schema === false) this.#nothing(old.schema, now.schema, here)
    else this.#objects(old.schema === true ? {} : old.schema, now.schema === true ? {} : now.schema, here)
  }

  isSame(before: unknown, after: unknown): boolean {
    if (!isEqualJson(before, after)) return false
    const { sameRefs } = this.#steps
    return refsIn(before).every(ref => {
      const known = sameRefs.get(ref)
      if (known !== undefined) return known
      // What refers to itself is the same if all the rest of it is.
      sameRefs.set(ref, true)
      const isSame = this.isSame(this.#then.find(ref)?.schema, this.#now.find(ref)?.schema)
      sameRefs.set(ref, isSame)
      return isSame
    })
  }

  isBroken(before: unknown, after: unknown, at: At): boolean {
    const trial = new Comparison(this.#then, this.#now, this.#steps, this.#under)
    trial.compare(before, after, at)
    return trial.breaks.length > 0
  }

  tell({ path, via }: At, keys: SchemaPath, why: string): void {
    const places = via.map(place => textOf(place))
    this.breaks.push({ path: textOf([...path, ...keys]), why, ...(places.length > 0 && { via: places }) })
  }

  /** `false` accepts nothing. */
  #nothing(before: Schema | boolean, after: Schema | boolean, at: At): void {
    if (before === after) return
    if (at.use === 'input' && after === false) this.tell(at, [], 'nothing is accepted there any more')
    if (at.use === 'output' && before === false) this.tell(at, [], 'it may be there now')
  }

  #objects(before: Schema, after: Schema, at: At): void {
    const pair = `${this.#idOf(before)} ${this.#idOf(after)} ${at.use} ${at.strict}`
    if (this.#under.has(pair) || this.#steps.equal.has(pair)) return
    this.#under.add(pair)
    const sofar = this.breaks.length
    comparePlain(before, after, at.use, (key, why) => this.tell(at, [key], why))
    const compared = [...compareMembers(before, after, at, this), ...compareComposed(before, after, at, this)]
    const known = new Set([...PLAIN, ...ANNOTATIONS, ...compared])
    for (const key of new Set([...Object.keys(before), ...Object.keys(after)]))
      if (!known.has(key) && !this.isSame(before[key], after[key]))
        this.tell(at, [key], `it may break clients: catflap does not know what ${JSON.stringify(key)} asks for`)
    this.#under.delete(pair)
    if (this.breaks.length === sofar) this.#steps.equal.add(pair)
  }

  #idOf(schema: Schema): number {
    const { ids } = this.#steps
    let id = ids.get(schema)
    if (id === undefined) ids.set(schema, (id = ++this.#steps.last))
    return id
  }
}

/** As a difference within the schema has it. */
function textOf(path: SchemaPath): string {
  return pathText(['schema', ...path]).slice('schema'.length)
}
