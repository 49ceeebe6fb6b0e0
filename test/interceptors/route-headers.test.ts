import fc from 'fast-check'
import t from 'tap'
import { checkHeaderRules, headerChange, routeHeaders } from '../../src/interceptors/route-headers.ts'
import { rawPost } from '../helpers/raw-client.ts'
import { initialize, rpc } from '../helpers/rpc.ts'
import { rawDoor } from '../integration/http-door.ts'
import { pipeDoor } from '../integration/pipe-door.ts'

t.test('remove, then set, then add; names in any case', async t => {
  const headers = ['X-One', '1', 'x-two', '2', 'X-TWO', '3', 'X-Three', '4']
  headerChange('request', { remove: ['x-ONE'], set: { 'X-Two': 'new', 'X-One': 'again' }, add: { 'X-Three': '5' } })?.(
    headers
  )
  t.same(headers, ['x-two', 'new', 'X-Three', '4', 'X-One', 'again', 'X-Three', '5'])
  t.equal(headerChange('request', {}), undefined, 'nothing to do')
  t.same(Object.keys(routeHeaders({})), ['name'], 'and no hook')
  t.same(Object.keys(routeHeaders({ request: { remove: ['x-a'] } })), ['name', 'request'])
})

t.test('requests and answers are changed on their way', async t => {
  const { server, url } = await rawDoor(
    t,
    x => x.json(200, '{"jsonrpc":"2.0","id":1,"result":{}}', ['X-Powered-By', 'secret', 'X-Kept', 'yes']),
    {
      interceptors: [
        routeHeaders({
          request: { remove: ['X-Gone'], set: { 'X-Team': 'blue' }, add: { 'X-Tag': 'b' } },
          response: { remove: ['x-powered-by'], set: { 'Cache-Control': 'no-store' }, add: { 'X-Kept': 'too' } }
        })
      ]
    }
  )
  const answer = await rawPost(url, rpc(1, 'x'), { 'x-gone': '1', 'x-team': 'red', 'X-Tag': 'a' })
  t.match(answer, { status: 200, headers: { 'cache-control': 'no-store', 'x-kept': 'yes, too' } })
  t.notOk('x-powered-by' in answer.headers)
  const { headers } = await server.exchange()
  t.match(headers, { 'x-team': 'blue', 'x-tag': 'a, b' })
  t.notOk('x-gone' in headers)
})

t.test("a command's answers carry what is set for them", async t => {
  const { url } = await pipeDoor(t, 'stdio-server.ts', {
    args: ['--era', 'legacy'],
    interceptors: [routeHeaders({ response: { set: { 'Cache-Control': 'no-store' } } })]
  })
  const answer = await rawPost(url, initialize())
  t.match(answer, { status: 200, headers: { 'cache-control': 'no-store' } })
  t.ok(answer.headers['mcp-session-id'], 'beside the session id')
})

t.test("an error of our own is not the server's, and has none of them", async t => {
  const interceptors = [routeHeaders({ response: { set: { 'X-Team': 'blue' } } })]
  const { url } = await rawDoor(t, x => x.reset(), { interceptors })
  const answer = await rawPost(url, rpc(1, 'x'))
  t.equal(answer.status, 502)
  t.notOk('x-team' in answer.headers)
})

const refused: readonly [side: 'request' | 'response', name: string, message: RegExp][] = [
  ['request', 'Connection', /one connection/],
  ['response', 'transfer-encoding', /one connection/],
  ['request', 'TE', /one connection/],
  ['request', 'Upgrade', /one connection/],
  ['request', 'Proxy-Authorization', /one connection/],
  ['response', 'Mcp-Session-Id', /message or the session/],
  ['request', 'mcp-protocol-version', /message or the session/],
  ['request', 'Mcp-Method', /message or the session/],
  ['request', 'Mcp-Param-Region', /message or the session/],
  ['request', 'Content-Length', /follows from the content/],
  ['response', 'Content-Type', /how the content is to be read/],
  ['response', 'content-encoding', /how the content is to be read/],
  ['request', 'Host', /target's own/],
  ['request', 'Catflap-Token', /never goes to a server/],
  ['request', 'Last-Event-ID', /broke off/],
  ['request', 'Accept-Encoding', /as it is/],
  ['request', 'X Y', /no name of a header/],
  ['request', 'X-Y:', /no name of a header/],
  ['response', 'X\r\nY', /no name of a header/],
  ['response', '', /no name of a header/]
]

t.test('what decides how messages are read and led is not for rules, and said so at the start', async t => {
  for (const [side, name, message] of refused)
    for (const rules of [{ remove: [name] }, { set: { [name]: 'x' } }, { add: { [name]: 'x' } }]) {
      const kind = Object.keys(rules)[0]
      t.throws(() => routeHeaders({ [side]: rules }), { name: 'TypeError', message }, `${side} ${kind} ${name}`)
      t.throws(() => routeHeaders({ [side]: rules }), { message: new RegExp(`^headers\\.${side}\\.${kind}: `) })
    }
})

t.test('values are one line of text, and never repeated in an error', async t => {
  for (const value of ['s3cret\r\nX-Other: 1', 's3cret\n', 's3cret\0', ' s3cret', 's3cret\u2028', 's3cret\u007f', 7])
    for (const kind of ['set', 'add'])
      try {
        checkHeaderRules('request', { [kind]: { 'X-A': value as string } })
        t.fail(JSON.stringify(value))
      } catch (error) {
        t.match(error, { name: 'TypeError', message: /^headers\.request\.\w+: the value of 'X-A' is not allowed/ })
        t.notMatch((error as Error).message, /s3cret/)
      }
  t.throws(() => checkHeaderRules('request', { set: { 'X-A': '1', 'x-a': '2' } }), {
    message: /'x-a' stands there twice/
  })
  checkHeaderRules('response', { set: { 'X-A': '', 'X-B': 'caf\u00e9, "quoted"\t;' } })
})

t.test('whatever rules are taken, the headers that keep a message together stay as they were', async t => {
  const fixed = ['Mcp-Session-Id', 's', 'Content-Length', '7', 'Mcp-Name', 'n', 'Content-Type', 'application/json']
  const name = fc.oneof(
    fc.constantFrom('mcp-name', 'MCP-SESSION-ID', 'content-length', 'X-A', 'x-b', 'Accept', 'Authorization'),
    fc.string()
  )
  const values = fc.dictionary(name, fc.string(), { maxKeys: 4, noNullPrototype: true })
  const rules = fc.record({ remove: fc.array(name, { maxLength: 4 }), set: values, add: values })
  fc.assert(
    fc.property(fc.constantFrom('request' as const, 'response' as const), rules, (side, given) => {
      let change: ReturnType<typeof headerChange>
      try {
        change = headerChange(side, given)
      } catch (error) {
        return t.equal((error as Error).name, 'TypeError')
      }
      const headers = [...fixed, 'X-A', '1', 'Accept', '*/*']
      change?.(headers)
      t.equal(headers.length % 2, 0)
      t.same(headers.slice(0, fixed.length), fixed)
      t.notMatch(headers.join(''), /[\r\n\0]/)
    })
  )
})
