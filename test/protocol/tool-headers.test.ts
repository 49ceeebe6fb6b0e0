import fc from 'fast-check'
import t from 'tap'
import { contradiction, missingHeader, paramMismatch, standardHeaders } from '../../src/protocol/header-rules.ts'
import type { RawHeaders } from '../../src/protocol/headers.ts'
import { Message } from '../../src/protocol/message.ts'
import {
  decodeHeaderValue,
  encodeHeaderValue,
  type HeaderParam,
  paramHeaders,
  ToolCatalog,
  toolHeaders
} from '../../src/protocol/tool-headers.ts'

/** Everything a server looks at, in its order. */
const headerMismatch = (headers: readonly string[], message: Message): string | undefined =>
  contradiction(headers, message) ?? missingHeader(headers, message)

const region = { type: 'string', 'x-mcp-header': 'Region' }
const text = fc.string({ unit: 'binary', maxLength: 40 })

t.test('any text survives a header, and every header is plain ASCII', async t => {
  fc.assert(fc.property(text, value => decodeHeaderValue(encodeHeaderValue(value)) === value))
  fc.assert(fc.property(text, value => /^[\x20-\x7e\t]*$/.test(encodeHeaderValue(value))))
  const plain = fc.stringMatching(/^[\x21-\x7e]{1,20}$/).filter(s => !s.startsWith('=?base64?'))
  fc.assert(fc.property(plain, value => encodeHeaderValue(value) === value))
  const sentinel = fc.string().map(s => `=?base64?${s}?=`)
  fc.assert(fc.property(sentinel, value => decodeHeaderValue(encodeHeaderValue(value)) === value))
  t.equal(decodeHeaderValue('=?base64?SGVsbG8='), '=?base64?SGVsbG8=', 'without the end it is a literal')
  t.equal(decodeHeaderValue('SGVsbG8=?='), 'SGVsbG8=?=', 'without the beginning as well')
  t.equal(decodeHeaderValue('  a b\t'), 'a b', 'blanks around it are none of its')
  t.equal(decodeHeaderValue('=?base64??='), '')
})

t.test('what no encoder writes is refused', async t => {
  const bad = ['=?base64?SGVsbG8?=', '=?base64?SGVs!!!bG8=?=', '=?base64?SGVsbG9=?=', '=?base64?=', '=?base64?/w==?=']
  for (const value of bad) t.equal(decodeHeaderValue(value), undefined, value)
  for (const value of ['\u00fc', 'a\u0000b', 'a\r\nb', 'a\u00a0', '\u007f'])
    t.equal(decodeHeaderValue(value), undefined, JSON.stringify(value))
  t.equal(decodeHeaderValue('=?BASE64?YQ==?='), '=?BASE64?YQ==?=', 'the marker is case-sensitive')
})

t.test('annotations are found at any depth of properties', async t => {
  const inputSchema = {
    type: 'object',
    properties: {
      region,
      query: { type: 'string' },
      limits: { type: 'object', properties: { rows: { type: 'integer', 'x-mcp-header': 'Rows' } } },
      dry: { type: 'boolean', 'x-mcp-header': 'dry-run' },
      // A parameter of that name, and data that only looks like an annotation.
      'x-mcp-header': { type: 'string', default: { 'x-mcp-header': 'No' }, enum: [{ 'x-mcp-header': 'No' }] }
    }
  }
  t.same(toolHeaders(inputSchema), {
    params: [
      { header: 'Region', path: ['region'], type: 'string' },
      { header: 'Rows', path: ['limits', 'rows'], type: 'integer' },
      { header: 'dry-run', path: ['dry'], type: 'boolean' }
    ]
  })
  for (const none of [undefined, null, true, 7, [], {}, { properties: null }]) t.same(toolHeaders(none), { params: [] })
})

t.test('an annotation that the specification forbids makes the tool invalid', async t => {
  const property = (schema: object): unknown => ({ type: 'object', properties: { a: schema } })
  const header = (name: unknown): unknown => property({ type: 'string', 'x-mcp-header': name })
  const invalid: Record<string, unknown> = {
    empty: header(''),
    'no text': header(7),
    space: header('A B'),
    colon: header('A:'),
    'line feed': header('A\nB'),
    'not ASCII': header('Länge'),
    number: property({ type: 'number', 'x-mcp-header': 'A' }),
    object: property({ type: 'object', 'x-mcp-header': 'A' }),
    'several types': property({ type: ['string', 'null'], 'x-mcp-header': 'A' }),
    'no type': property({ 'x-mcp-header': 'A' }),
    'at the root': { type: 'string', 'x-mcp-header': 'A' },
    twice: { properties: { a: region, b: { type: 'string', 'x-mcp-header': 'REGION' } } }
  }
  const lists = ['oneOf', 'anyOf', 'allOf', 'prefixItems', 'items']
  const single = ['items', 'not', 'if', 'then', 'else', 'additionalProperties', 'contains', 'propertyNames']
  const named = ['$defs', 'definitions', 'patternProperties', 'dependentSchemas']
  for (const keyword of lists) invalid[`list ${keyword}`] = property({ type: 'array', [keyword]: [{}, region] })
  for (const keyword of single) invalid[keyword] = { [keyword]: { properties: { region } } }
  for (const keyword of named) invalid[keyword] = { [keyword]: { region } }
  for (const [what, schema] of Object.entries(invalid)) t.match(toolHeaders(schema), { invalid: String }, what)
})

t.test('a schema that is nested without end is invalid, not our end', async t => {
  let schema: object = { type: 'string', 'x-mcp-header': 'Deep' }
  for (let i = 0; i < 100_000; i++) schema = { properties: { a: schema } }
  t.match(toolHeaders(schema), { invalid: /deep/ })
})

const params: readonly HeaderParam[] = [
  { header: 'Text', path: ['a', 'text'], type: 'string' },
  { header: 'Count', path: ['count'], type: 'integer' },
  { header: 'Flag', path: ['flag'], type: 'boolean' }
]

t.test('headers made of arguments match them, whatever they are', async () => {
  const args = fc.record(
    {
      a: fc.option(fc.record({ text: fc.option(text) })),
      count: fc.option(fc.maxSafeInteger()),
      flag: fc.option(fc.boolean())
    },
    { requiredKeys: [] }
  )
  fc.assert(fc.property(args, value => paramMismatch(paramHeaders(params, value), params, value) === undefined))
  fc.assert(fc.property(fc.jsonValue(), v => paramMismatch(paramHeaders(params, v), params, v) === undefined))
  // No header stands for another value.
  const other = fc
    .tuple(args, args)
    .filter(([x, y]) => paramHeaders(params, x).join() !== paramHeaders(params, y).join())
  fc.assert(fc.property(other, ([x, y]) => paramMismatch(paramHeaders(params, x), params, y) !== undefined))
})

t.test('null and absent values have no header; inherited members are no values', async t => {
  t.same(paramHeaders(params, { a: { text: null }, count: null }), [])
  t.same(paramHeaders(params, undefined), [])
  t.same(paramHeaders(params, { a: { text: 'x y' }, count: -7, flag: false }), [
    'Mcp-Param-Text',
    'x y',
    'Mcp-Param-Count',
    '-7',
    'Mcp-Param-Flag',
    'false'
  ])
  const odd: HeaderParam[] = [
    { header: 'A', path: ['constructor', 'name'], type: 'string' },
    { header: 'B', path: ['list', 'length'], type: 'integer' }
  ]
  t.same(paramHeaders(odd, { list: [1, 2] }), [])
  t.same(paramHeaders(params, { count: 2 ** 53 }), [], 'beyond the safe range there is none')
})

t.test('a mismatch names the header, and never a value', async t => {
  const count = (...headers: string[]): string | undefined => paramMismatch(headers, params, { count: 42 })
  t.equal(count('mcp-param-COUNT', '42'), undefined)
  t.equal(count('Mcp-Param-Count', '42.0'), undefined, 'integers are compared as numbers')
  t.equal(count('Mcp-Param-Count', '=?base64?NDI=?='), undefined)
  t.equal(count('Mcp-Param-Count', '42', 'Mcp-Param-Count', '42'), undefined)
  for (const wrong of ['43', '0x2a', '4.2e1', '42.5', '42.0000000000000000001', '', '=?base64?NDM=?='])
    t.match(count('Mcp-Param-Count', wrong), /Mcp-Param-Count differs/, wrong)
  t.match(count('Mcp-Param-Count', '=?base64?!!?='), /Mcp-Param-Count has invalid/)
  t.match(count('Mcp-Param-Count', '\u00fc'), /Mcp-Param-Count has invalid/)
  t.match(count(), /Mcp-Param-Count is missing/)
  t.match(count('Mcp-Param-Count', '42', 'Mcp-Param-Count', '43'), /two different values/)
  t.match(paramMismatch(['Mcp-Param-Text', 's3cret'], params, {}), /Mcp-Param-Text differs/, 'and none in the body')
  t.notMatch(paramMismatch(['Mcp-Param-Text', 's3cret'], params, { a: { text: 'h1dden' } }), /s3cret|h1dden/)
  t.equal(paramMismatch([], params, { count: { odd: 1 } }), undefined, 'the server judges what no header can say')
})

function request(method: string, params: object = {}): Message {
  const _meta = { 'io.modelcontextprotocol/protocolVersion': '2026-07-28' }
  return Message.from({ jsonrpc: '2.0', id: 1, method, params: { ...params, _meta } })
}

t.test('standard headers say what the message says', async t => {
  const version = ['MCP-Protocol-Version', '2026-07-28']
  t.same(standardHeaders(request('tools/list')), [...version, 'Mcp-Method', 'tools/list'])
  t.same(standardHeaders(request('tools/call', { name: 'wetter für alle' })), [
    ...version,
    'Mcp-Method',
    'tools/call',
    'Mcp-Name',
    '=?base64?d2V0dGVyIGbDvHIgYWxsZQ==?='
  ])
  t.same(standardHeaders(request('prompts/get', { name: 'p' })).slice(4), ['Mcp-Name', 'p'])
  const read = request('resources/read', { name: 'not this', uri: 'file:///x' })
  t.same(standardHeaders(read).slice(4), ['Mcp-Name', 'file:///x'])
  t.same(standardHeaders(request('resources/subscribe', { uri: 'file:///x' })).slice(4), [])
  const notification = Message.from({ jsonrpc: '2.0', method: 'notifications/x' })
  t.same(standardHeaders(notification), ['Mcp-Method', 'notifications/x'])
  for (const message of [read, request('tools/call', { name: ' é ' })])
    t.equal(headerMismatch(standardHeaders(message), message), undefined)
})

t.test('each standard header must be there, once, and say the same', async t => {
  const call = request('tools/call', { name: 'add' })
  const good = ['MCP-Protocol-Version', '2026-07-28', 'Mcp-Method', 'tools/call', 'Mcp-Name', 'add']
  const without = (i: number): RawHeaders => good.toSpliced(i, 2)
  const having = (i: number, value: string): RawHeaders => good.with(i + 1, value)
  t.equal(headerMismatch(good, call), undefined)
  for (const [i, name] of [
    [0, 'MCP-Protocol-Version'],
    [2, 'Mcp-Method'],
    [4, 'Mcp-Name']
  ] as const) {
    t.match(headerMismatch(without(i), call), new RegExp(`^${name} is missing`))
    t.match(headerMismatch(having(i, 'other'), call), new RegExp(`^${name} differs`))
    t.match(headerMismatch([...good, name.toLowerCase(), 'other'], call), new RegExp(`^${name} has two`))
    t.match(headerMismatch(having(i, `${good[i + 1]!.toUpperCase()}!`), call), new RegExp(`^${name} differs`))
  }
  t.equal(headerMismatch(having(4, '=?base64?YWRk?='), call), undefined)
  t.match(headerMismatch(having(4, '=?base64?YWRk=?='), call), /Mcp-Name has invalid/)
  const swapped = request('resources/read', { name: 'add', uri: 'file:///etc/passwd' })
  const headers = ['MCP-Protocol-Version', '2026-07-28', 'Mcp-Method', 'resources/read', 'Mcp-Name', 'add']
  t.match(headerMismatch(headers, swapped), /Mcp-Name differs/, 'a name does not stand for a URI')
  t.equal(headerMismatch(good, request('tools/list')) === undefined, false)
})

t.test('the catalog remembers tools as they were told last, and tells of invalid ones', async t => {
  const catalog = new ToolCatalog()
  const tool = (name: string, schema: object): object => ({ name, inputSchema: { properties: { a: schema } } })
  const { invalid } = catalog.learn([tool('good', region), tool('bad', { 'x-mcp-header': '' }), null, { name: 7 }])
  t.match(invalid, [{ name: 'bad', reason: String }])
  t.match(catalog.get('good'), { params: [{ header: 'Region' }] })
  t.match(catalog.get('bad'), { invalid: String })
  t.equal(catalog.get('other'), undefined)
  t.equal(catalog.get('constructor'), undefined)
  catalog.learn([tool('good', { type: 'string' })])
  t.same(catalog.get('good'), { params: [] })
  catalog.clear()
  t.equal(catalog.get('good'), undefined)
  t.same(catalog.learn('nonsense'), { invalid: [] })
})

t.test('the catalog is bounded', async t => {
  const catalog = new ToolCatalog()
  catalog.learn(Array.from({ length: 20_000 }, (_, i) => ({ name: `t${i}`, inputSchema: {} })))
  t.equal(catalog.size, 10_000)
  const huge = Object.fromEntries(
    Array.from({ length: 10_001 }, (_, i) => [`p${i}`, { ...region, 'x-mcp-header': `H${i}` }])
  )
  catalog.clear()
  catalog.learn([{ name: 'huge', inputSchema: { properties: huge } }, { name: 'n'.repeat(2_000) }, { name: 'small' }])
  t.equal(catalog.size, 1)
})
