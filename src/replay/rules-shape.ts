import type { Path } from '../config/problems.ts'
import type { Reader } from '../config/reader.ts'
import { type Definitions, either, type Json, key, list, named, object, type Shape } from '../config/shape.ts'
import type { Node } from '../config/tree.ts'
import { excerpt } from '../printable.ts'
import { compileRegex, MAX_PATTERN, RegexRefusal } from './linear-regex.ts'
import type { AnswerPattern } from './rules.ts'

/**
 * What may stand in a file of rules. Unlike a configuration it may come from strangers, so that no text of it names variables
 * or files.
 */

interface Word<T> {
  readonly type: string
  readonly allowed: string
  readonly schema: Json
  /** Undefined, or a reason, for what cannot stand there. */
  readonly take: (value: string | number | boolean) => { readonly value: T } | { readonly wrong: string } | undefined
}

function word<T>({ type, allowed, schema, take }: Word<T>): Shape<T> {
  return {
    type,
    read(node: Node, path: Path, reader: Reader) {
      if (node.kind !== 'scalar' || node.value === null) return reader.mismatch(path, node, allowed)
      const taken = take(node.value)
      if (taken && 'value' in taken) return taken.value
      const wrong = taken?.wrong ?? `'${excerpt(node.text, 80)}' is not allowed`
      return reader.problem('value', path, { wrong, allowed })
    },
    json: () => schema
  }
}

const version = word<1>({
  type: '`1`',
  allowed: '1 (rules of a later version need a later catflap)',
  schema: { const: 1 },
  take: value => (value === 1 ? { value } : undefined)
})

const flag = word<boolean>({
  type: '`true`, `false`',
  allowed: 'true or false',
  schema: { type: 'boolean' },
  take: value => (typeof value === 'boolean' ? { value } : undefined)
})

function text(type: string, allowed: string): Shape<string> {
  return word<string>({
    type,
    allowed,
    schema: { type: 'string', minLength: 1, maxLength: MAX_WORD },
    take: value => (typeof value === 'string' && value !== '' && value.length <= MAX_WORD ? { value } : undefined)
  })
}

const MAX_WORD = 4096
const wildcard = text('text, `*`: anything', 'a text of 1 to 4096 characters, in which * stands for anything')

const POINTER = '(?:/(?:[^~/]|~[01])*)+'
const isPointer = new RegExp(`^${POINTER}$`, 'u')
const POINTER_ALLOWED = 'a JSON pointer like /arguments/path (* stands for any member or element, ~1 for /, ~0 for ~)'

/** A pointer that begins like one of these. */
function pointer(starts: string, allowed = POINTER_ALLOWED): Shape<string> {
  const pattern = `^(?=${starts})${POINTER}$`
  const wanted = new RegExp(pattern, 'u')
  return word<string>({
    type: 'JSON pointer',
    allowed,
    schema: { type: 'string', pattern },
    take: value =>
      typeof value === 'string' && value.length <= MAX_WORD && isPointer.test(value) && wanted.test(value)
        ? { value }
        : undefined
  })
}

const ANSWER_STARTS = '/(?:result|error|params|notifications|\\*)(?:/|$)'
const ANSWER_ALLOWED =
  'a JSON pointer that begins with /result, /error or /notifications, or (of notifications) /params'

const regex = object(
  {
    regex: key(
      word<string>({
        type: 'regular expression',
        allowed: `a regular expression of at most ${MAX_PATTERN} characters, without looking ahead, behind or back`,
        schema: { type: 'string', maxLength: MAX_PATTERN, format: 'regex' },
        take: value => (typeof value === 'string' ? taken(value) : undefined)
      }),
      'the whole of the value has to match it; `i`, `m` and other flags are not there',
      { required: true, examples: ['run-\\d+'] }
    )
  },
  { name: 'regex' }
)

function taken(pattern: string): { readonly value: string } | { readonly wrong: string } {
  try {
    compileRegex(pattern)
    return { value: pattern }
  } catch (error) {
    if (error instanceof RegexRefusal) return { wrong: error.message }
    throw error
  }
}

/** `{ regex }`, where that is what is given. */
type Regex = { readonly regex: string }

const textPattern = either(wildcard, regex) as Shape<string | Regex>

const KINDS = ['time', 'uuid', 'port', 'path', 'number'] as const

const kind = word<(typeof KINDS)[number]>({
  type: KINDS.map(name => `\`${name}\``).join(', '),
  allowed: `one of ${KINDS.join(', ')}, or { regex: … }`,
  schema: { enum: KINDS },
  take: value => {
    const found = KINDS.find(name => name === value)
    return found && { value: found }
  }
})

const onePattern = either(kind, regex) as Shape<AnswerPattern>
const several = list(onePattern, 'list of patterns', 1)

const answerPattern: Shape<AnswerPattern | readonly AnswerPattern[]> = {
  type: `${onePattern.type}, or a list of them`,
  below: { keys: regex.below && 'keys' in regex.below ? regex.below.keys : {} },
  read: (node, path, reader) => (node.kind === 'list' ? several : onePattern).read(node, path, reader),
  json: (definitions: Definitions) => ({ anyOf: [onePattern.json(definitions), several.json(definitions)] })
}

function byPointer<T>(of: Shape<T>, what: string, starts: string, allowed = POINTER_ALLOWED) {
  return named(of, { what, names: `(?=${starts})${POINTER}`, allowed, min: 1, suffix: '.POINTER' })
}

const subject = {
  method: key(wildcard, 'whose: a method', { fallback: '*', examples: ['tools/call'] }),
  name: key(wildcard, 'of which tool, prompt, or URI of a resource; not given, also those without a name', {
    otherwise: 'all',
    examples: ['search_*']
  })
}

const requestRule = object(
  {
    ...subject,
    ignore: key(list(pointer('/'), 'list of JSON pointers', 1), 'members of `params` that do not count', {
      examples: [['/arguments/requestId']]
    }),
    where: key(
      byPointer(textPattern, 'JSON pointers and what matches', '/'),
      'below `params`: values that match are equal to each other; others count as they are',
      { examples: [{ '/arguments/path': '/tmp/*' }] }
    )
  },
  {
    name: 'requestRule',
    hints: { tool: 'name', prompt: 'name', uri: 'name' },
    check: saysSomething(['ignore', 'where'])
  }
)

const answerRule = object(
  {
    ...subject,
    ignore: key(list(pointer(ANSWER_STARTS, ANSWER_ALLOWED), 'list of JSON pointers', 1), 'what is not compared', {
      examples: [['/result/_meta']]
    }),
    patterns: key(
      byPointer(answerPattern, 'JSON pointers and patterns', ANSWER_STARTS, ANSWER_ALLOWED),
      'texts and numbers that differ in such parts alone are equal',
      { examples: [{ '/result/content/*/text': 'time' }] }
    ),
    unordered: key(
      list(pointer(ANSWER_STARTS, ANSWER_ALLOWED), 'list of JSON pointers', 1),
      'arrays whose order does not count',
      { examples: [['/result/tools']] }
    )
  },
  {
    name: 'answerRule',
    hints: { tool: 'name', prompt: 'name', uri: 'name' },
    check: saysSomething(['ignore', 'patterns', 'unordered'])
  }
)

function saysSomething(keys: readonly string[]) {
  return (node: Extract<Node, { kind: 'map' }>, path: Path, reader: Reader): void => {
    if (keys.some(name => node.entries.has(name))) return
    reader.problem('key', path, { wrong: 'says nothing', allowed: `one of ${keys.join(', ')}` })
  }
}

/** The whole file. */
export const rulesFile = object(
  {
    $schema: key(text('text', 'a text'), 'for editors; catflap does not read it', { otherwise: 'none' }),
    version: key(version, 'of this format', { required: true }),
    defaults: key(
      flag,
      'the built-in rules for answers: uuids, and times near the moment at which they were said, are alike',
      {
        fallback: true
      }
    ),
    requests: key(list(requestRule, 'list of rules'), 'for finding the recorded request that a request is', {
      otherwise: 'none'
    }),
    answers: key(list(answerRule, 'list of rules'), 'for comparing what a server says with what was recorded', {
      otherwise: 'none'
    })
  },
  { hints: { rules: 'requests', request: 'requests', answer: 'answers', responses: 'answers' } }
)

/** For editors: JSON Schema, draft 2020-12. */
export function rulesSchema(): Json {
  const definitions: Definitions = new Map()
  const whole = rulesFile.json(definitions)
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'catflap: rules for matching and comparing what is on a tape',
    ...whole,
    $defs: Object.fromEntries(definitions)
  }
}
