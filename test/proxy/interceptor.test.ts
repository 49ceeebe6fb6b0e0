/** What code that acts on traffic can do, with real sockets on both sides. */
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { CatflapError, type Exchange, type Interceptor, Message, type Outcome, Slot } from '../../src/index.ts'
import { openSse, rawPost, rawRequest, send } from '../helpers/raw-client.ts'
import { modern, modernHeaders, POST_HEADERS, rpc, toolCall } from '../helpers/rpc.ts'
import { Inbox } from '../helpers/wait.ts'
import { rawDoor } from '../integration/http-door.ts'

const CALL = '{"jsonrpc":"2.0", "id":1,"method":"x","params":{"n":1.0}}'
const ANSWER = '{"jsonrpc":"2.0","id":1,"result":{"echo":{"n":1.0}}}'
const turn = () => new Promise<void>(resolve => setImmediate(resolve))

function door(t: Parameters<typeof rawDoor>[0], ...interceptors: Interceptor[]) {
  return rawDoor(t, undefined, { interceptors })
}

t.test('hooks run in order on the way in and in reverse on the way back', async t => {
  const order: string[] = []
  const named = (name: string): Interceptor => ({
    name,
    admit: () => void order.push(`${name} admit`),
    request: () => void order.push(`${name} request`),
    head: () => void order.push(`${name} head`),
    message: (_, m, direction) => {
      order.push(`${name} ${direction}`)
      return m
    },
    end: () => void order.push(`${name} end`)
  })
  const { url } = await door(t, named('a'), named('b'))
  t.equal((await rawPost(url, CALL)).text, ANSWER)
  const both = (what: string) => [`a ${what}`, `b ${what}`]
  const back = (what: string) => both(what).reverse()
  t.same(order, [...both('admit'), ...both('request'), ...both('up'), ...back('head'), ...back('down'), ...back('end')])
})

t.test('a request is refused, at the head or once it is whole', async t => {
  const refused: unknown[] = []
  const { server, url } = await door(t, {
    name: 'no',
    admit: x => (x.client?.method === 'DELETE' ? new CatflapError('blocked', 'No DELETE here.') : undefined),
    request: x => (x.message?.method === 'bad' ? { error: new CatflapError('blocked', 'Not that one.') } : undefined),
    end: (_, { result, code }) => void refused.push([result, code])
  })
  t.match(await rawRequest(url, { method: 'DELETE' }), { text: /No DELETE here/ })
  t.match((await rawPost(url, rpc(1, 'bad'))).json(), { id: 1, error: { message: 'Not that one.' } })
  t.equal(server.exchanges.length, 0)
  t.same(refused, Array(2).fill(['refused', 'blocked']))
})

t.test("an answer in the server's place: a message, or a whole response", async t => {
  const { server, url } = await door(t, {
    name: 'answers',
    async request(x) {
      await turn()
      if (x.message?.method === 'a') return { message: Message.from({ jsonrpc: '2.0', id: 1, result: 'ours' }) }
      return { http: { status: 418, headers: ['X-Ours', 'yes'], body: Buffer.from('tea') } }
    }
  })
  t.match(await rawPost(url, rpc(1, 'a')), { status: 200, text: '{"jsonrpc":"2.0","id":1,"result":"ours"}' })
  t.match(await rawPost(url, rpc(1, 'b')), { status: 418, text: 'tea', headers: { 'x-ours': 'yes' } })
  t.equal(server.exchanges.length, 0)
})

t.test('a changed request goes out with what derives from it made anew', async t => {
  const renamed: Interceptor = {
    name: 'renames',
    message(_, m, direction) {
      if (direction === 'down') return m
      const json = m.json as { params: { name?: string; arguments?: object } }
      const params = { ...json.params, name: 'gr\u00fc\u00df' }
      // A name in `params`, and yet no request that has an Mcp-Name.
      if (json.params.name === 'other method') return Message.from({ ...(m.json as object), method: 'tools/list' })
      return Message.from({ ...(m.json as object), params })
    }
  }
  const { server, url } = await door(t, renamed)
  const call = modern(toolCall(1, 'a'))
  await rawPost(url, call, modernHeaders(call))
  const [seen] = server.exchanges
  t.match(JSON.parse(seen!.text), { method: 'tools/call', params: { name: 'gr\u00fc\u00df' } })
  t.equal(seen!.headers['content-length'], String(seen!.body.length))
  t.equal(seen!.headers['mcp-method'], 'tools/call')
  t.equal(seen!.headers['mcp-name'], `=?base64?${Buffer.from('gr\u00fc\u00df').toString('base64')}?=`)
  const other = modern(toolCall(2, 'other method'))
  await rawPost(url, other, modernHeaders(other))
  t.same(
    [server.exchanges[1]!.headers['mcp-method'], server.exchanges[1]!.headers['mcp-name']],
    ['tools/list', undefined]
  )
  await rawPost(url, toolCall(3, 'legacy'))
  t.equal(server.exchanges[2]!.headers['mcp-name'], undefined, 'these headers are of the modern era only')
})

t.test('headers to the server can be changed in place; those to the client too', async t => {
  const { server, url } = await door(t, {
    name: 'headers',
    request: (x: Exchange) => void x.headers.push('X-Up', 'added'),
    async head(_, head) {
      await turn()
      head.headers.push('X-Down', 'added')
    }
  })
  t.match(await rawPost(url, CALL), { text: ANSWER, headers: { 'x-down': 'added' } })
  t.equal(server.exchanges[0]!.headers['x-up'], 'added')
})

/** Changes, drops or keeps by what a message says. */
const editor: Interceptor = {
  name: 'editor',
  async message(_, m, direction) {
    if (direction === 'up') return m
    const text = m.bytes.toString()
    if (text.includes('slow')) await turn()
    if (text.includes('drop')) return undefined
    return text.includes('change') ? Message.parse(Buffer.from(text.replace('change', 'changed'))) : m
  }
}

t.test('JSON answers: unchanged bytes stay, a change gets its length, a dropped answer is an error', async t => {
  const { server, url } = await door(t, editor)
  const see = async (body: string) => {
    server.next(x => x.json(200, body))
    return await rawPost(url, CALL)
  }
  const odd = ' {"jsonrpc":"2.0",\n "id" : 1, "result":{"n":9007199254740993,"n":1e0} }\n'
  t.equal((await see(odd)).text, odd)
  const changed = await see('{"jsonrpc":"2.0","id":1,"result":"change \u20ac"}')
  t.match(changed, { text: '{"jsonrpc":"2.0","id":1,"result":"changed \u20ac"}', headers: { 'content-length': '47' } })
  t.match((await see('{"jsonrpc":"2.0","id":1,"result":"drop"}')).json(), {
    id: 1,
    error: { data: { code: 'blocked' } }
  })
  t.equal(
    (await see('[{"jsonrpc":"2.0","id":1,"result":"drop"},{"jsonrpc":"2.0","id":2,"result":2}]')).text,
    '[{"jsonrpc":"2.0","id":2,"result":2}]'
  )
  t.equal((await see('not JSON')).text, 'not JSON')
  server.next(x => x.gzip(200, '{"jsonrpc":"2.0","id":1,"result":"change"}'))
  const zipped = await rawPost(url, CALL)
  t.match(zipped, { text: '{"jsonrpc":"2.0","id":1,"result":"changed"}' })
  t.equal(zipped.headers['content-encoding'], undefined)
  server.next(x => x.respond(200, 'application/json', '{}', ['Content-Encoding', 'unknown']))
  t.equal((await rawPost(url, CALL)).status, 502)
})

t.test('streams: ids and order are kept, whatever becomes of the messages', async t => {
  const { server, url } = await door(t, editor)
  const event = (id: number, what: string, eol: string) =>
    `id: ${id}${eol}event: message${eol}data: {"jsonrpc":"2.0","method":"${what}"}${eol}${eol}`
  const text = (eol: string) =>
    `: hi\n\n${event(1, 'slow', eol)}${event(2, 'change', eol)}${event(3, 'drop', eol)}id: 4\ndata:\n\n${event(5, 'slow change', eol)}data: no JSON\n\n${event(6, 'as it is', eol)}`
  const expected = (eol: string) =>
    `: hi\n\n${event(1, 'slow', eol)}event: message\nid: 2\ndata: {"jsonrpc":"2.0","method":"changed"}\n\nid: 3\n\nid: 4\ndata:\n\nevent: message\nid: 5\ndata: {"jsonrpc":"2.0","method":"slow changed"}\n\ndata: no JSON\n\n${event(6, 'as it is', eol)}`
  server.next(async x => {
    x.sse()
    for (let i = 0; i < text('\n').length; i += 7) await x.write(text('\n').slice(i, i + 7))
    x.end()
  })
  t.equal((await rawPost(url, CALL)).text, expected('\n'))
  server.next(x => x.respond(200, 'text/event-stream', gzipSync(text('\r\n')), ['Content-Encoding', 'gzip']))
  const zipped = await rawPost(url, CALL)
  t.equal(zipped.text, expected('\r\n'))
  t.equal(zipped.headers['content-encoding'], undefined)
})

t.test('a held message holds what follows it, and the server', async t => {
  const gate = new Inbox<string>('releases')
  const holder: Interceptor = {
    name: 'holder',
    async message(_, m, direction) {
      if (direction === 'down' && m.method === 'hold') await gate.next()
      return m
    }
  }
  const { server, url } = await door(t, holder)
  server.next(x => void x.sse())
  const stream = await openSse(url, { body: CALL })
  const x = await server.exchange()
  await x.sendMessage({ jsonrpc: '2.0', method: 'first' })
  await x.sendMessage({ jsonrpc: '2.0', method: 'hold' })
  await x.sendMessage({ jsonrpc: '2.0', id: 1, result: {} })
  x.end()
  t.match(await stream.nextMessage(), { method: 'first' })
  t.equal((await rawPost(url, CALL)).text, ANSWER, 'others are not held')
  t.equal(stream.events.items.length, 1)
  gate.push('go')
  t.match(await stream.nextMessage(), { method: 'hold' })
  t.match(await stream.nextMessage(), { id: 1 })
  t.equal(await stream.ended, 'end')
})

for (const hook of ['admit', 'request', 'head', 'up', 'down', 'wants', 'end'] as const) {
  for (const late of [false, true]) {
    if (late && (hook === 'admit' || hook === 'wants' || hook === 'end')) continue
    t.test(`a hook that throws${late ? ' late' : ''} harms its own exchange only (${hook})`, async t => {
      const outcomes: Outcome[] = []
      const fail = (at: unknown): undefined | Promise<undefined> => {
        if (at !== hook) return undefined
        if (!late) throw new Error('broken hook')
        return turn().then(() => {
          throw new Error('broken hook')
        })
      }
      const bad = (x: Exchange) => x.client?.headers.includes('x-bad') ?? false
      const { door: opened, url } = await door(
        t,
        { name: 'counts', end: (_, outcome) => void outcomes.push(outcome) },
        {
          name: 'broken',
          admit: x => (bad(x) ? (fail('admit') as undefined) : undefined),
          request: x => (bad(x) ? fail('request') : undefined),
          head: x => (bad(x) ? fail('head') : undefined),
          wants: x => bad(x as Exchange) && fail('wants') === undefined,
          message: (_, m, direction) => fail(direction)?.then(() => m) ?? m,
          end: x => void (bad(x) && fail('end'))
        }
      )
      const [broken, fine] = await Promise.all([rawPost(url, CALL, { 'x-bad': '1' }), rawPost(url, CALL)])
      t.equal(fine.text, ANSWER)
      if (hook === 'end') t.equal(broken.text, ANSWER, 'an observer of ends changes nothing')
      else t.match([broken.status, broken.text], [500, /"code":"internal"/])
      t.equal(outcomes.length, 2)
      t.equal(opened.stats.exchanges, 0)
    })
  }
}

t.test('`end` is told exactly once, however an exchange ends', async t => {
  const slot = new Slot<number>()
  const ends = new Inbox<[number, string]>('ends')
  let n = 0
  const { server, url } = await door(t, {
    name: 'counts',
    admit: x => void slot.set(x, ++n),
    end: (x, outcome) => ends.push([slot.get(x) ?? 0, outcome.result])
  })
  await rawPost(url, CALL, { host: 'evil.example' })
  t.same(ends.items.splice(0), [[0, 'refused']], 'one that it never saw')
  await rawPost(url, CALL)
  await rawPost(url, '{')
  server.next(x => x.reset())
  await rawPost(url, CALL)
  server.next(() => {})
  const { req } = send(url, { body: CALL, headers: POST_HEADERS })
  const before = server.exchanges.length
  await server.exchange(before + 1)
  req.destroy()
  await ends.until(([who]) => who === 4)
  server.next(x => void x.sse())
  const stream = await openSse(url)
  stream.close()
  await ends.until(([who]) => who === 5)
  t.same(ends.items, [
    [1, 'answered'],
    [2, 'refused'],
    [3, 'failed'],
    [4, 'gone'],
    [5, 'gone']
  ])
})

t.test('where nobody wants messages, none is parsed: bytes pass as they come', async t => {
  const { server, url } = await door(t, { name: 'not interested', wants: () => false, message: () => undefined })
  server.next(x => void x.head(200, ['Content-Type', 'application/json']).write('{"half":'))
  const { req, head } = send(url, { body: CALL, headers: POST_HEADERS })
  const res = await head
  t.equal(String(await new Promise(resolve => res.once('data', resolve))), '{"half":')
  req.destroy()
})
