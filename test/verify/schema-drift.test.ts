/** Which changes of a schema break clients, and which do not. */
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
  ]
]

for (const [name, use, before, after, paths] of CASES)
  t.test(`${use}: ${name}`, async t => {
    t.same(
      schemaBreaks(before, after, use).map(b => b.path),
      paths
    )
  })

t.test('what is no schema, and what is too deep, breaks nothing', async t => {
  t.same(schemaBreaks(true, { type: 'string' }, 'input'), [])
  t.same(schemaBreaks(undefined, null, 'output'), [])
  let [deep, other] = [S as object, N as object]
  for (let i = 0; i < 200; i++) [deep, other] = [object({ a: deep }), object({ a: other })]
  t.same(schemaBreaks(deep, other, 'input'), [])
})
