import fc from 'fast-check'
import t from 'tap'
import {
  accepts,
  addVia,
  contentTypeOf,
  contradicts,
  forwardableRequestHeaders,
  forwardableResponseHeaders,
  getHeader,
  removeHeader,
  setHeader
} from '../../src/protocol/headers.ts'
import { idKey, roundedKey } from '../../src/protocol/id.ts'
import { encodeHeaderValue } from '../../src/protocol/tool-headers.ts'

t.test(
  'end-to-end headers pass in order and spelling, hop-by-hop ones and those named by Connection do not',
  async t => {
    const sent = [
      'Host',
      'x',
      'X-One',
      '1',
      'x-one',
      '2',
      'Connection',
      'close, X-Gone',
      'x-gone',
      '1',
      'TE',
      'trailers',
      'Upgrade',
      'x',
      'Keep-Alive',
      '1',
      'Origin',
      'http://a',
      'Authorization',
      'Bearer s',
      'Accept-Encoding',
      'br',
      'Content-Length',
      '3',
      'Mcp-Name',
      'n',
      'traceparent',
      '00',
      'Catflap-Token',
      's',
      'Proxy-Authorization',
      'p',
      'Expect',
      '100-continue'
    ]
    t.same(forwardableRequestHeaders(sent), [
      'X-One',
      '1',
      'x-one',
      '2',
      'Authorization',
      'Bearer s',
      'Mcp-Name',
      'n',
      'traceparent',
      '00'
    ])
    const answered = [
      'Content-Length',
      '3',
      'Set-Cookie',
      'a=1',
      'Set-Cookie',
      'b=2',
      'Transfer-Encoding',
      'chunked',
      'connection',
      'x-hop',
      'X-Hop',
      '1',
      'WWW-Authenticate',
      'Bearer'
    ]
    t.same(forwardableResponseHeaders(answered), [
      'Content-Length',
      '3',
      'Set-Cookie',
      'a=1',
      'Set-Cookie',
      'b=2',
      'WWW-Authenticate',
      'Bearer'
    ])
  }
)

const name = fc.stringMatching(/^[A-Za-z][A-Za-z0-9-]{0,8}$/)
const pairs = fc.array(fc.tuple(name, fc.string()), { maxLength: 12 }).map(p => p.flat())

t.test('setting and removing touch that name only, whatever its case', async () => {
  fc.assert(
    fc.property(pairs, name, fc.string(), (headers, n, value) => {
      const others = (list: readonly string[]): string[] =>
        list.flatMap((h, i) => (i % 2 === 0 && h.toLowerCase() !== n.toLowerCase() ? [h, list[i + 1]!] : []))
      const set = [...headers]
      setHeader(set, n, value)
      const removed = [...headers]
      removeHeader(removed, n.toLowerCase())
      return (
        getHeader(set, n.toLowerCase()) === value &&
        set.filter((h, i) => i % 2 === 0 && h.toLowerCase() === n.toLowerCase()).length === 1 &&
        JSON.stringify(others(set)) === JSON.stringify(others(headers)) &&
        JSON.stringify(removed) === JSON.stringify(others(headers))
      )
    })
  )
})

t.test('Via is appended to what others wrote', async t => {
  const fresh: string[] = []
  addVia(fresh, '1.1', 'catflap')
  t.same(fresh, ['Via', '1.1 catflap'])
  const before = ['via', '2 edge']
  addVia(before, '1.1', 'catflap')
  t.same(before, ['via', '2 edge, 1.1 catflap'])
})

t.test('content types and Accept are read as RFC 9110 has them', async t => {
  t.equal(contentTypeOf('Application/JSON; charset=utf-8'), 'json')
  t.equal(contentTypeOf('text/event-stream'), 'sse')
  t.equal(contentTypeOf('application/json-seq'), 'other')
  t.equal(contentTypeOf(undefined), 'none')
  t.equal(accepts('application/json, text/event-stream', 'text/event-stream'), true)
  t.equal(accepts('text/*;q=0.5', 'text/event-stream'), true)
  t.equal(accepts('*/*', 'application/json'), true)
  t.equal(accepts(undefined, 'application/json'), true)
  t.equal(accepts('application/json', 'text/event-stream'), false)
  t.equal(accepts('*/*, text/event-stream;q=0', 'text/event-stream'), false)
})

t.test('ids meet by type and value, not by spelling, and big ones stay apart', async t => {
  t.equal(idKey('1'), idKey('1.0'))
  t.equal(idKey('1e2'), idKey('100'))
  t.not(idKey('1'), idKey('"1"'))
  t.equal(idKey('"\\u0061"'), idKey('"a"'))
  t.not(idKey('9007199254740993'), idKey('9007199254740992'))
  t.equal(roundedKey(idKey('9007199254740993')), idKey('9007199254740992'))
  t.equal(roundedKey(idKey('7')), undefined)
  fc.assert(
    fc.property(
      fc.maxSafeInteger(),
      fc.maxSafeInteger(),
      (a, b) => (idKey(String(a)) === idKey(String(b))) === (a === b)
    )
  )
  fc.assert(
    fc.property(
      fc.string(),
      fc.string(),
      (a, b) => (idKey(JSON.stringify(a)) === idKey(JSON.stringify(b))) === (a === b)
    )
  )
})

t.test('header values are encoded just where the specification asks for it', async t => {
  const table: [string, string][] = [
    ['us-west1', 'us-west1'],
    ['Hello, 世界', '=?base64?SGVsbG8sIOS4lueVjA==?='],
    [' padded ', '=?base64?IHBhZGRlZCA=?='],
    ['line1\nline2', '=?base64?bGluZTEKbGluZTI=?='],
    ['=?base64?literal?=', '=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?=']
  ]
  for (const [value, encoded] of table) t.equal(encodeHeaderValue(value), encoded)
})

t.test(
  'two different values of one header contradict each other; the same twice, or another header, does not',
  async t => {
    t.ok(contradicts(['A', '1', 'b', '2', 'a', '3'], 'a'))
    t.notOk(contradicts(['A', '1', 'b', '2', 'a', '1'], 'a'))
    t.notOk(contradicts(['b', '1', 'b', '2'], 'a'))
  }
)
