// biome-ignore-all lint/suspicious/noTemplateCurlyInString: references of configuration files look like that
/** The schema that editors use and what catflap reads are one description: they agree. */
import { Ajv2020 } from 'ajv/dist/2020.js'
import fc from 'fast-check'
import t from 'tap'
import { parse } from 'yaml'
import { file, jsonSchema } from '../../src/config/schema.ts'
import type { Json, Shape } from '../../src/config/shape.ts'
import { BEYOND, GOOD, KEYS, REFERENCES, TOGETHER, VALUES } from './cases.ts'
import { accepted, refused } from './fixtures.ts'

const schema = jsonSchema()
const ajv = new Ajv2020({ strict: true, strictRequired: false, strictTypes: false, allErrors: true })
const validate = ajv.compile(schema)
const admits = (text: string): boolean => validate(parse(text, { uniqueKeys: true }))

t.test('it is JSON Schema, draft 2020-12', async t => {
  t.equal(schema.$schema, 'https://json-schema.org/draft/2020-12/schema')
  t.ok(ajv.validateSchema(schema))
  t.equal(JSON.stringify(jsonSchema()), JSON.stringify(schema), 'the same each time')
})

t.test('both accept what is right', async t => {
  for (const text of GOOD) {
    await t.resolves(accepted(text), text)
    t.ok(admits(text), `${text}\n${ajv.errorsText(validate.errors)}`)
  }
})

t.test('both refuse what is wrong', async t => {
  for (const [what, text] of [...KEYS, ...VALUES, ...TOGETHER]) {
    t.not((await refused(text)).length, 0, what)
    t.notOk(admits(text), what)
  }
})

t.test('what only catflap can know, the schema lets pass', async t => {
  for (const [what, text] of [...BEYOND, ...REFERENCES.filter(([one]) => !/no variable|does not end/.test(one))]) {
    t.not((await refused(text)).length, 0, what)
    t.ok(admits(text), `${what}: ${ajv.errorsText(validate.errors)}`)
  }
})

t.test('whatever catflap accepts, the schema accepts', async t => {
  const scalar = fc.constantFrom<unknown>(
    ...[
      'http://a/mcp',
      '80',
      '127.0.0.1:0',
      '0.0.0.0:80',
      '30s',
      '0s',
      '1.5M',
      '16 kB',
      '/mcp',
      '/a/*',
      '${X}',
      '${X:-5}',
      '*',
      '::1',
      'a',
      ''
    ],
    ...[0, 1, 1.5, -1, 80, 70_000, true, false, null]
  )
  const keys = Object.keys(keysOf(file))
  const entry = fc.oneof(scalar, fc.array(scalar, { maxLength: 2 }))
  const settings = fc.dictionary(
    fc.constantFrom('maxBody', 'maxSessions', 'requestTimeout', 'sessionIdle', 'connectTimeout', 'x'),
    scalar,
    { maxKeys: 2 }
  )
  const routeKeys = Object.keys(keysOf(keysOf(file).routes!.below!.of!))
  const route = fc.tuple(
    fc.dictionary(fc.constantFrom(...routeKeys), entry, { maxKeys: 2 }),
    fc.option(settings, { nil: undefined })
  )
  const whole = fc.tuple(route, fc.dictionary(fc.constantFrom(...keys), entry, { maxKeys: 2 }))
  let both = 0
  await fc.assert(
    fc.asyncProperty(whole, async ([[one, chosen], rest]) => {
      const a = { target: 'http://a/', ...one, ...(chosen && { settings: chosen }) }
      const value = { ...rest, routes: { a } }
      const fine = (await refused(JSON.stringify(value), { env: { X: '5' } })).length === 0
      if (fine) both++
      return !fine || validate(value)
    }),
    { numRuns: 2000 }
  )
  t.ok(both > 50, `${both} were accepted`)
})

t.test('the defaults and examples that it shows are allowed themselves', async t => {
  let count = 0
  const walk = (node: unknown): void => {
    if (typeof node !== 'object' || node === null) return
    const { properties } = node as { properties?: Record<string, Json> }
    for (const [name, one] of Object.entries(properties ?? {})) {
      const {
        default: fallback,
        examples = [],
        description,
        ...rest
      } = one as Json & { readonly examples?: readonly unknown[] }
      const check = ajv.compile({ $defs: schema.$defs, ...rest })
      for (const value of [...examples, ...(fallback === undefined ? [] : [fallback])]) {
        count++
        t.ok(check(value), `${name} (${description}): ${JSON.stringify(value)}`)
      }
    }
    for (const child of Object.values(node)) walk(child)
  }
  walk(schema)
  t.ok(count > 60, `${count} values`)
})

t.test('every key tells an editor what it is, and its default', async t => {
  let count = 0
  const walk = (node: unknown): void => {
    if (typeof node !== 'object' || node === null) return
    const { properties } = node as { properties?: Record<string, Json> }
    for (const [name, one] of Object.entries(properties ?? {})) {
      count++
      t.match(one.description, /^\S.{8,}\.$/s, name)
    }
    for (const child of Object.values(node)) walk(child)
  }
  walk(schema)
  t.ok(count > 80, `${count} keys`)
  const { routeSettings } = schema.$defs as Record<string, { properties: Record<string, Json> }>
  t.match(routeSettings!.properties.maxBody, { default: '16M' })
  t.match((schema.properties as Record<string, Json>).via, { default: 'catflap' })
})

interface Below {
  readonly below?: {
    readonly keys?: Readonly<Record<string, { readonly shape: Shape<unknown> }>>
    readonly of?: Shape<unknown>
  }
}

function keysOf(shape: Shape<unknown>): Record<string, Below> {
  const { below } = shape as Below
  return Object.fromEntries(Object.entries(below?.keys ?? {}).map(([name, { shape: one }]) => [name, one as Below]))
}
