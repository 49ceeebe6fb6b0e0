/** Batches in which not all goes well, and who may send them at all. */
import t from 'tap'
import { openSse, rawPost } from '../helpers/raw-client.ts'
import { legacyHeaders, modern, modernHeaders, notification, rpc } from '../helpers/rpc.ts'
import { withTime } from '../helpers/wait.ts'
import { type Json, PAIRS, pair } from './pairing-door.ts'
import { pipeDoor, pipeSession } from './pipe-door.ts'

const VERSION = '2025-03-26'
const result = (id: unknown, more: object = {}) => ({ jsonrpc: '2.0', id, result: more })
const idsOf = (answers: Json): unknown[] => [answers].flat().map((m: Json) => m.id)

for (const [client, server] of PAIRS) {
  const name = `${client} > ${server}`
  const calls = server === 'http' ? 1 : 2

  t.test(`${name}: a member that was cancelled is not waited for`, async t => {
    const p = await pair(t, client, server, { version: VERSION, settings: { cancelGrace: 20 } })
    void p.client.say([rpc(1, 'a'), rpc(2, 'b')])
    const asked = []
    for (let i = 0; i < calls; i++) asked.push(await p.server.heard.next())
    void p.client.say(notification('notifications/cancelled', { requestId: 2 }))
    const cancelled = await p.server.heard.next()
    t.match(cancelled.json, { method: 'notifications/cancelled', params: { requestId: 2 } })
    if (server === 'http') {
      asked[0]!.tell(result(1))
      // Where the server is on HTTP the stream is its own to end.
      if (client === 'http') asked[0]!.http!.end()
    } else asked[0]!.answer(result(1))
    t.same(idsOf(await p.client.next()), [1])
    void p.client.say(rpc(3, 'after'))
    const after = await p.server.heard.next()
    after.answer(result(3))
    await p.client.heard.until(m => m.id === 3)
    t.equal(p.client.heard.items.length, 2)
  })

  t.test(`${name}: a member that is answered although it was cancelled takes no other's place`, async t => {
    const cancelGrace = 30
    const p = await pair(t, client, server, { version: VERSION, settings: { cancelGrace } })
    void p.client.say([rpc(1, 'a'), rpc(2, 'b')])
    const asked = []
    for (let i = 0; i < calls; i++) asked.push(await p.server.heard.next())
    void p.client.say(notification('notifications/cancelled', { requestId: 1 }))
    await p.server.heard.next()
    asked[0]!.tell(result(1))
    const began = performance.now()
    // Longer than whoever has cancelled everything would be kept waiting.
    for (let n = 0; performance.now() - began < 2 * cancelGrace || n < 2; n++) {
      void p.client.say(rpc(`other ${n}`, 'x'))
      const other = await p.server.heard.next()
      other.answer(result(`other ${n}`))
      await p.client.heard.until(m => m.id === `other ${n}`)
    }
    asked[0]!.answer(result(2))
    const answered = (id: number): Promise<Json> => p.client.heard.until(m => idsOf(m).includes(id))
    t.same(idsOf(await answered(2)).at(-1), 2)
    await answered(1)
  })

  t.test(`${name}: a request and its cancellation in one batch stay in order`, async t => {
    const p = await pair(t, client, server, { version: VERSION, settings: { cancelGrace: 20 } })
    const cancel = notification('notifications/cancelled', { requestId: 1 })
    void p.client.say([rpc(1, 'a'), cancel])
    const heard: Json[] = []
    while (heard.length < 2) heard.push(...[(await p.server.heard.next()).json].flat())
    t.same(heard, [rpc(1, 'a'), cancel])
    if (client !== 'http') {
      void p.client.say(rpc(2, 'after'))
      const after = await p.server.heard.next()
      after.answer(result(2))
      t.same(await p.client.next(), result(2), 'who has cancelled gets no answer')
    }
  })

  t.test(`${name}: a server that is lost in the middle leaves no request without an answer`, async t => {
    const p = await pair(t, client, server, { version: VERSION })
    const said = p.client.say([rpc(1, 'a'), notification('n'), rpc(2, 'b')])
    for (let i = 0; i < (server === 'http' ? 1 : 3); i++) await p.server.heard.next()
    await p.server.break()
    const status = await said
    const told = await p.client.next()
    if (client === 'http' && status === 502) {
      t.match(told, { error: { data: { code: /upstream_|child_/ } } }, 'HTTP tells that all of it failed')
      return
    }
    const answers = [told].flat()
    while (answers.length < 2) answers.push(...[await p.client.next()].flat())
    t.same(new Set(idsOf(answers)), new Set([1, 2]))
    for (const answer of answers) t.match(answer.error.data.code, /upstream_|child_/)
  })

  t.test(`${name}: a batch that takes too long fails for those that wait, and keeps what there is`, t =>
    withTime(300, async requestTimeout => {
      const p = await pair(t, client, server, { version: VERSION, settings: { requestTimeout } })
      void p.client.say([rpc(1, 'a'), rpc(2, 'b')])
      const failed = p.client.heard.until(() => true).then(() => undefined)
      const heard = p.server.heard.next()
      const asked = await Promise.race([heard, failed])
      if (asked === undefined) {
        p.server.heard.end('the time was over before that')
        await heard.catch(() => {})
        return false
      }
      asked.tell(result(1))
      const answers = [await p.client.next()].flat()
      if (client === 'http' && server === 'http') return true // The stream ends as any that fails in the middle.
      while (answers.length < 2) answers.push(...[await p.client.next()].flat())
      if (answers.every(answer => answer.error?.data.code === 'upstream_timeout')) return false
      t.same(idsOf(answers), [1, 2])
      t.match(answers[1], { error: { data: { code: 'upstream_timeout' } } })
      return true
    })
  )

  t.test(`${name}: a batch is refused in the modern era`, async t => {
    const p = await pair(t, client, server)
    const request = modern(rpc(1, 'tools/list'))
    void p.client.say([request], client === 'http' ? modernHeaders(request) : {})
    // Over HTTP+SSE there is no such era at all.
    const message = client === 'sse' ? /2026-07-28/ : /batch.*not allowed/
    t.match(await p.client.next(), { error: { code: -32600, message } })
    t.same(p.server.heard.items, [])
  })
}

t.test('the header cannot bring batches into a session of another revision, nor out of one', async t => {
  for (const server of ['http', 'stdio'] as const) {
    const p = await pair(t, 'http', server, { version: '2025-11-25' })
    t.equal(await p.client.say([rpc(1, 'a')], { 'mcp-protocol-version': VERSION }), 400, server)
    t.match(await p.client.next(), { error: { code: -32600, message: /2025-11-25/ } })
    const q = await pair(t, 'http', server, { version: VERSION })
    t.equal(await q.client.say([rpc(1, 'a')], { 'mcp-protocol-version': '2025-06-18' }), 400, server)
    t.match(await q.client.next(), { error: { code: -32600, message: /2025-06-18/ } })
    t.same([...p.server.heard.items, ...q.server.heard.items], [])
  }
})

t.test('clients of 2025-03-26 send no version header: the session knows', async t => {
  const { url } = await pipeDoor(t, 'puppet-stdio.ts')
  for (const [version, status] of [
    [VERSION, 200],
    ['2025-06-18', 400]
  ] as const) {
    const { id } = await pipeSession(url, version)
    const { 'mcp-protocol-version': _, ...headers } = legacyHeaders(id)
    t.equal((await rawPost(url, [rpc(1, 'a'), rpc(2, 'b')], headers)).status, status, version)
  }
})

t.test('one request in a batch gets an array of one, but where its answer is an event', async t => {
  for (const [client, server] of PAIRS) {
    if (client === 'http' && server === 'http') continue
    const p = await pair(t, client, server, { version: VERSION })
    void p.client.say([rpc(1, 'a')])
    const asked = await p.server.heard.next()
    asked.answer(server === 'http' ? [result(1)] : result(1))
    t.same(await p.client.next(), client === 'http' ? result(1) : [result(1)], `${client} > ${server}`)
  }
})

t.test('a member whose answer is too large fails alone', async t => {
  for (const [client, server] of PAIRS) {
    if (server === 'http') continue
    const p = await pair(t, client, server, { version: VERSION, settings: { maxMessage: 4_000 } })
    void p.client.say([rpc(1, 'a'), rpc(2, 'b')])
    const asked = await p.server.heard.next()
    asked.tell(result(1, { pad: 'x'.repeat(8_000) }))
    asked.answer(result(2))
    const answers = [await p.client.next()].flat()
    if (answers.length < 2) answers.push(...[await p.client.next()].flat())
    t.match(
      answers,
      [
        { id: 1, error: { data: { code: 'message_too_large' } } },
        { id: 2, result: {} }
      ],
      `${client} > ${server}`
    )
  }
})

t.test('over Streamable HTTP a batch is answered as the server does, byte for byte', async t => {
  const p = await pair(t, 'http', 'http', { version: VERSION })
  const id = p.server.http!
  const events = [
    'id: 7\ndata: [{"jsonrpc":"2.0","id":1,"result":{"n":1.0}}]\n\n',
    ': c\ndata: {"jsonrpc":"2.0","id":2,"result":{}}\n\n'
  ]
  id.always(x => {
    if (x.method === 'DELETE') return void x.head(200).end()
    if (x.text.includes('"initialize"')) return x.json(200, '{"jsonrpc":"2.0","id":0,"result":{}}')
    x.sse()
    for (const event of events) void x.write(event)
    x.end()
  })
  const stream = await openSse(p.door.url!, {
    body: [rpc(1, 'a'), rpc(2, 'b')],
    headers: legacyHeaders(undefined, VERSION)
  })
  t.equal((await stream.next()).raw, events[0]!.trimEnd())
  t.equal((await stream.next()).raw, events[1]!.trimEnd())
  t.equal(await stream.ended, 'end')
})

for (const client of ['stdio', 'sse'] as const) {
  t.test(`${client} > http: answers as events, singly or as an array, are one reply`, async t => {
    const p = await pair(t, client, 'http', { version: VERSION })
    void p.client.say([rpc(1, 'a'), rpc(2, 'b'), rpc(3, 'c')])
    const asked = await p.server.heard.next()
    asked.tell([result(3), result(1)])
    asked.tell(notification('meanwhile'))
    asked.answer(result(2))
    t.match(await p.client.next(), { method: 'meanwhile' })
    t.same(await p.client.next(), [result(3), result(1), result(2)])
  })
}

for (const client of ['stdio', 'sse'] as const) {
  t.test(`${client} > http: notifications/initialized counts within a batch`, async t => {
    const p = await pair(t, client, 'http')
    void p.client.say({ ...rpc(0, 'initialize'), params: { protocolVersion: VERSION, capabilities: {} } })
    await p.client.next()
    void p.client.say([notification('notifications/initialized'), rpc(1, 'a')])
    const asked = await p.server.heard.next()
    asked.answer([result(1)])
    t.same(await p.client.next(), [result(1)])
    await p.server.tell(notification('of its own'))
    t.match(await p.client.next(), { method: 'of its own' })
  })
}
