/** Which changes of a schema break clients, and which do not. */
import { Ajv2020 } from 'ajv/dist/2020.js'
import fc from 'fast-check'
import t from 'tap'
import { type SchemaUse, schemaBreaks } from '../../src/verify/schema-drift.ts'

const object = (properties: object, more: object = {}): object => ({ type: 'object', properties, ...more })
const S = { type: 'string' }
const N = { type: 'number' }

const CASES: readonly (readonly [string, SchemaUse, object, object, readonly string[]])[] = [
  ['nothing has changed', 'input', object({ a: S }), object({ a: S }), []],
  ['a new argument', 'input', object({ a: S }), object({ a: S, b: S }), []],
  ['a new required argument', 'input', object({ a: S }), object({ a: S, b: S }, { required: ['b'] }), ['.required']],
  ['required no more', 'input', object({ a: S }, { required: ['a'] }), object({ a: S }), []],
  ['gone, but anything is accepted', 'input', object({ a: S }), object({}), []],
  [
    'gone, and nothing else accepted',
    'input',
    object({ a: S }, { additionalProperties: false }),
    object({}, { additionalProperties: false }),
    ['.properties.a']
  ],
  ['closed', 'input', object({ a: S }), object({ a: S }, { additionalProperties: false }), ['.additionalProperties']],
  ['a value is gone', 'input', object({ a: { enum: [1, 2] } }), object({ a: { enum: [1] } }), ['.properties.a.enum']],
  ['a value is new', 'input', object({ a: { enum: [1] } }), object({ a: { enum: [1, 2] } }), []],
  ['any value, now only some', 'input', object({ a: S }), object({ a: { ...S, enum: ['x'] } }), ['.properties.a.enum']],
  ['another type', 'input', object({ a: S }), object({ a: N }), ['.properties.a.type']],
  ['a wider type', 'input', object({ a: { type: 'integer' } }), object({ a: N }), []],
  ['a narrower type', 'input', object({ a: N }), object({ a: { type: 'integer' } }), ['.properties.a.type']],
  ['no type any more', 'input', object({ a: S }), object({ a: {} }), []],
  [
    'a closer limit',
    'input',
    object({ a: { ...N, maximum: 9 } }),
    object({ a: { ...N, maximum: 5 } }),
    ['.properties.a.maximum']
  ],
  ['a wider limit', 'input', object({ a: { ...N, maximum: 5 } }), object({ a: { ...N, maximum: 9 } }), []],
  ['a limit is new', 'input', object({ a: S }), object({ a: { ...S, minLength: 3 } }), ['.properties.a.minLength']],
  ['a pattern is new', 'input', object({ a: S }), object({ a: { ...S, pattern: 'x' } }), ['.properties.a.pattern']],
  ['a pattern is gone', 'input', object({ a: { ...S, pattern: 'x' } }), object({ a: S }), []],
  ['an alternative is gone', 'input', { anyOf: [S, N] }, { anyOf: [S] }, ['.anyOf']],
  ['an alternative is new', 'input', { anyOf: [S] }, { anyOf: [S, N] }, []],
  [
    'deep down',
    'input',
    object({ a: { type: 'array', items: object({ b: N }) } }),
    object({ a: { type: 'array', items: object({ b: S }) } }),
    ['.properties.a.items.properties.b.type']
  ],
  ['a result is gone', 'output', object({ a: S }), object({}), ['.properties.a']],
  ['a result is new', 'output', object({ a: S }), object({ a: S, b: S }), []],
  ['a result may be missing', 'output', object({ a: S }, { required: ['a'] }), object({ a: S }), ['.required']],
  ['a result is always there now', 'output', object({ a: S }), object({ a: S }, { required: ['a'] }), []],
  [
    'a result of more kinds',
    'output',
    object({ a: S }),
    object({ a: { type: ['string', 'null'] } }),
    ['.properties.a.type']
  ],
  [
    'a result with more values',
    'output',
    object({ a: { enum: [1] } }),
    object({ a: { enum: [1, 2] } }),
    ['.properties.a.enum']
  ],
  ['a wider limit of a result', 'output', { maxLength: 5 }, { maxLength: 9 }, ['.maxLength']],
  ['a closer limit of a result', 'output', { maxLength: 9 }, { maxLength: 5 }, []],
  ['a result without its pattern', 'output', { pattern: 'x' }, {}, ['.pattern']],

  ['a property that accepts nothing any more', 'input', object({ a: S }), object({ a: false }), ['.properties.a']],
  ['a property that accepts anything now', 'input', object({ a: S }), object({ a: true }), []],
  ['any value, then none', 'input', object({ a: true }), object({ a: false }), ['.properties.a']],
  [
    'gone, and others have to be numbers',
    'input',
    object({ a: S }, { additionalProperties: N }),
    object({}, { additionalProperties: N }),
    ['.properties.a.type']
  ],
  ['any further ones, now only numbers', 'input', {}, { additionalProperties: N }, ['.additionalProperties.type']],
  ['names that have to fit', 'input', {}, { propertyNames: { maxLength: 3 } }, ['.propertyNames.maxLength']],
  ['a name that is odd', 'input', object({ 'a b': S }), object({ 'a b': N }), ['.properties["a b"].type']],

  ['another reference', 'input', refers('A'), refers('B'), ['.$defs.A.type']],
  ['a reference to the same by another name', 'input', refers('A'), refers('C'), []],
  ['what is referred to', 'input', refers('A'), refers('A', { A: N }), ['.$defs.A.type']],
  ['a definition that nothing refers to', 'input', refers('A'), refers('A', { B: S }), []],
  ['a reference, then the same in its place', 'input', refers('A'), object({ a: S }), []],
  ['beside a description, as generators write it', 'input', refers('A'), object({ a: { allOf: [S] } }), []],
  ['more beside a reference', 'input', refers('A'), refers('A', {}, { minLength: 1 }), ['.$defs.A.minLength']],
  ['a reference to elsewhere', 'input', { $ref: 'https://a/b' }, { $ref: 'https://a/c' }, ['.$ref']],
  ['a circle', 'input', circle(S), circle(S), []],
  ['a circle with something changed', 'input', circle(S), circle(N), ['.properties.value.type']],

  ['a further condition', 'input', { allOf: [S] }, { allOf: [S, { minLength: 5 }] }, ['.minLength']],
  ['a second one', 'input', { allOf: [{ pattern: 'a' }] }, { allOf: [{ pattern: 'a' }, { pattern: 'b' }] }, ['.allOf']],
  ['a condition less', 'input', { allOf: [S, { minLength: 5 }] }, { allOf: [S] }, []],
  ['a condition less of a result', 'output', { allOf: [S, { minLength: 5 }] }, { allOf: [S] }, ['.minLength']],
  ['conditions in another order', 'input', { allOf: [S, { minLength: 5 }] }, { allOf: [{ minLength: 5 }, S] }, []],
  ['an alternative that is wider', 'input', { anyOf: [{ ...S, maxLength: 2 }, N] }, { anyOf: [N, S] }, []],
  ['a type, then alternatives with it', 'input', S, { anyOf: [S, { type: 'null' }] }, []],
  ['a type of results, then alternatives', 'output', S, { anyOf: [S, { type: 'null' }] }, ['.type']],

  ['more is excluded', 'input', { not: { enum: ['x'] } }, { not: { enum: ['x', 'y'] } }, ['.not']],
  ['less is excluded', 'input', { not: { enum: ['x', 'y'] } }, { not: { enum: ['x'] } }, []],
  ['less is excluded from results', 'output', { not: { enum: ['x', 'y'] } }, { not: { enum: ['x'] } }, ['.not']],
  ['something is excluded', 'input', S, { ...S, not: { const: 'x' } }, ['.not']],
  ['members that are excluded', 'input', { not: { required: ['a', 'b'] } }, { not: { required: ['a'] } }, ['.not']],

  ['the first elements', 'input', { prefixItems: [S] }, { prefixItems: [N] }, ['.prefixItems[0].type']],
  ['the first elements, as they were written once', 'input', { items: [S] }, { items: [N] }, ['.items[0].type']],
  ['an element has to be there', 'input', {}, { contains: S }, ['.contains']],
  ['what depends', 'input', choice(S, { minLength: 1 }), choice(S, { minLength: 9 }), ['.then.minLength']],
  ['on what it depends', 'input', choice(S, { minLength: 1 }), choice(N, { minLength: 1 }), ['.if']],
  ['a companion', 'input', {}, { dependentRequired: { a: ['b'] } }, ['.dependentRequired']],
  [
    'a companion by schema',
    'input',
    {},
    { dependentSchemas: { a: { required: ['b'] } } },
    ['.dependentSchemas.a.required']
  ],
  ['what nobody knows', 'input', { newKeyword: 1 }, { newKeyword: 2 }, ['.newKeyword']],
  ['what constrains nothing', 'input', { ...S, title: 'a', default: 1, examples: [] }, { ...S, description: 'b' }, []]
]

/** What has to be so where something else is. */
function choice(test: object | boolean, met: object | boolean, other: object | boolean = true): object {
  return Object.fromEntries([
    ['if', test],
    ['then', met],
    ['else', other]
  ])
}

function refers(name: string, defs: object = {}, beside: object = {}): object {
  const $defs = { A: S, B: N, C: S, ...defs }
  return object({ a: { $ref: `#/$defs/${name}`, ...beside } }, { $defs })
}

/** A list of values, each with the next. */
function circle(value: object): object {
  return object({ value, next: { anyOf: [{ $ref: '#' }, { type: 'null' }] } })
}

for (const [name, use, before, after, paths] of CASES)
  t.test(`${use}: ${name}`, async t => {
    t.same(
      schemaBreaks(before, after, use).map(b => b.path),
      paths
    )
  })

t.test('what is too deep to be compared may break clients', async t => {
  t.match(schemaBreaks(true, { type: 'string' }, 'input'), [{ path: '.type' }])
  t.same(schemaBreaks(undefined, null, 'output'), [])
  let [deep, other] = [S as object, N as object]
  for (let i = 0; i < 200; i++) [deep, other] = [object({ a: deep }), object({ a: other })]
  t.match(schemaBreaks(deep, other, 'input'), [{ path: /^(\.properties\.a)+$/, why: /too large/ }])
  t.same(schemaBreaks(deep, structuredClone(deep), 'input'), [])
})

t.test('schemas that are made to be slow are given up', async t => {
  const level = (n: number, end: object): object => ({
    anyOf: Array.from({ length: 8 }, () => ({ $ref: n === 0 ? '#/$defs/end' : `#/$defs/l${n - 1}` })),
    ...(n === 12 && {
      $defs: { end, ...Object.fromEntries(Array.from({ length: 12 }, (_, i) => [`l${i}`, level(i, end)])) }
    })
  })
  const found = schemaBreaks(level(12, S), level(12, N), 'input')
  t.ok(found.length > 0)
})

const plain = fc.record(
  {
    type: fc.constantFrom('string', 'number', 'integer', ['string', 'null']),
    enum: fc.uniqueArray(fc.constantFrom('a', 'bb', 1), { minLength: 1, maxLength: 2 }),
    minLength: fc.nat(3),
    maxLength: fc.nat(3),
    maximum: fc.nat(3),
    pattern: fc.constantFrom('a', 'b'),
    const: fc.constantFrom('a', 1)
  },
  { requiredKeys: [] }
)

const { schema } = fc.letrec<{ schema: object | boolean }>(tie => {
  const some = fc.array(tie('schema'), { minLength: 1, maxLength: 2 })
  const parts = {
    allOf: some,
    anyOf: some,
    not: tie('schema'),
    items: tie('schema'),
    prefixItems: some,
    contains: tie('schema'),
    minLength: fc.nat(3),
    $ref: fc.constantFrom('#/$defs/a', '#/$defs/b')
  }
  const choices = fc.tuple(tie('schema'), tie('schema'), tie('schema')).map(all => choice(...all))
  const one = fc.record(parts, { requiredKeys: [] })
  return { schema: fc.oneof({ depthSize: 'small' }, plain, plain, fc.boolean(), one, one, choices) }
})
const whole = fc.record({ allOf: fc.tuple(schema), $defs: fc.record({ a: plain, b: plain }) })
const value = fc.oneof(
  fc.constantFrom('', 'a', 'bb', 'ab', 'cccc', 1, 2.5, 9, null, true),
  fc.array(fc.constantFrom('a', 'bb', 1, null), { maxLength: 2 })
)

t.test('property: what stays the same breaks nothing', async t => {
  fc.assert(
    fc.property(whole, one => {
      t.same(schemaBreaks(one, structuredClone(one), 'input'), [])
      t.same(schemaBreaks(one, structuredClone(one), 'output'), [])
    })
  )
})

t.test('property: where nothing breaks, what was accepted is, and nothing comes that was not promised', async () => {
  const accepts = (one: object): ((v: unknown) => boolean) => new Ajv2020({ strict: false, logger: false }).compile(one)
  // Small changes of one schema, and others altogether.
  const pairs = fc.oneof(
    fc.tuple(whole, whole),
    fc.tuple(whole, schema, schema).map(([one, b, c]) => [
      { ...one, anyOf: [b, c] },
      { ...one, anyOf: [c, b, { type: 'null' }] }
    ]),
    fc.tuple(whole, plain, plain).map(([one, a, b]) => [one, { ...one, $defs: { a, b } }])
  )
  fc.assert(
    fc.property(pairs, fc.array(value, { minLength: 5, maxLength: 20 }), ([before, after], values) => {
      const [old, now] = [accepts(before!), accepts(after!)]
      const [input, output] = (['input', 'output'] as const).map(use => schemaBreaks(before, after, use).length === 0)
      return values.every(v => (!input || !old(v) || now(v)) && (!output || !now(v) || old(v)))
    }),
    { numRuns: 100 }
  )
})
