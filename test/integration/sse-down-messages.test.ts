/** Clients on HTTP+SSE: what is said on the stream, under which ids, in which order, and byte for byte. */
import t from 'tap'
import { modern, notification, rpc } from '../helpers/rpc.ts'
import { pipeDoor, question } from './pipe-door.ts'
import { sseReady, sseSession } from './sse-down-door.ts'

const held = { answer: false }
const line = (message: object): string => `${JSON.stringify(message)}\n`

t.test('every POST gets an empty 202 at once, whatever it carries', async t => {
  const { url } = await pipeDoor(t, 'puppet-stdio.ts')
  const s = await sseReady(url)
  for (const message of [rpc(1, 'do', held), notification('n'), { jsonrpc: '2.0', id: 99, result: {} }]) {
    const answer = await s.post(message)
    t.same([answer.status, answer.text, answer.headers['mcp-session-id']], [202, '', undefined])
  }
  s.close()
})

t.test('what is said comes in order, as events that hold one whole message each', async t => {
  const { url } = await pipeDoor(t, 'puppet-stdio.ts')
  const s = await sseReady(url)
  const says = [question(7), line(notification('notifications/message', { n: 1 })), line(notification('x', { n: 2 }))]
  await s.post(rpc(1, 'do', { write: says.join('') }))
  const events = [await s.stream.next(), await s.stream.next(), await s.stream.next(), await s.stream.next()]
  t.same(events.map(e => `${e.data}\n`).slice(0, 3), says)
  t.match(JSON.parse(events[3]!.data), { id: 1 })
  for (const event of events) t.match(event.raw, /^event: message\ndata: \{[^\n]*\}$/)
  s.close()
})

t.test('bytes pass untouched in both directions, but for line breaks between tokens', async t => {
  const { url, log } = await pipeDoor(t, 'puppet-stdio.ts')
  const s = await sseReady(url)
  await log.child(/initialized/)
  const seen = log.seen.length
  const sent =
    '{ "id" : 9007199254740993,\r\n"jsonrpc":"2.0",\n"method":"d\\u006f","params":{"a":1.0,"s":"é€𝄞\u2028\\r\\n"}\r}'
  t.equal((await s.post(sent)).status, 202)
  const passed = await log.nextSeen(seen)
  t.equal(passed.replaceAll(' ', ''), sent.replaceAll(/[\r\n ]/g, ''))
  t.equal(
    (await s.stream.next()).data,
    '{"jsonrpc":"2.0","id":9007199254740993,"result":{"echo":{"a":1.0,"s":"é€𝄞\u2028\\r\\n"}}}'
  )
  const answer = ' {"jsonrpc" : "2.0",\t"id":2, "result":{"n":1e400,"n":2,"s":"\\ud800 \u2028"} } '
  await s.post(rpc(2, 'do', { answer }))
  t.equal((await s.stream.next()).data.trim(), answer.trim())
  s.close()
})

t.test('5 MB pass whole in both directions', async t => {
  const { url } = await pipeDoor(t, 'raw-stdio.ts', { args: ['--handshake'] })
  const s = await sseReady(url)
  const big = '€'.repeat(1_700_000)
  t.equal((await s.post(rpc('big', 'x', { big }))).status, 202)
  const answer = (await s.next()) as { id: string; result: { echo: { big: string } } }
  t.equal(answer.id, 'big')
  t.ok(answer.result.echo.big === big)
  await s.post(rpc(2, 'x'))
  t.match(await s.next(), { id: 2 })
  s.close()
})

t.test('answers torn byte by byte are whole again', async t => {
  const { url } = await pipeDoor(t, 'raw-stdio.ts', { args: ['--handshake', '--split', '--crlf', '--noise', '1'] })
  const s = await sseReady(url)
  await s.post(rpc('é', 'x', { s: '€𝄞' }))
  t.match(await s.next(), { id: 'é', result: { echo: { s: '€𝄞' } } })
  s.close()
})

t.test('calls in flight with one id each get their own answer, in its own type; sessions never cross', async t => {
  const { url, log } = await pipeDoor(t, 'puppet-stdio.ts')
  const [a, b] = [await sseReady(url), await sseReady(url)]
  for (const s of [a, b]) for (const id of [1, 1, '1']) await s.post(rpc(id, 'do', { ...held, who: s.id.slice(0, 4) }))
  await a.post(rpc('a', 'do', { of: 'a' }))
  await b.post(rpc('b', 'do', { of: 'b' }))
  t.match(await a.next(), { id: 'a', result: { echo: { of: 'a' } } })
  t.match(await b.next(), { id: 'b', result: { echo: { of: 'b' } } })
  const ids = log.seen.filter(text => text.includes(`"who":"${a.id.slice(0, 4)}"`)).map(text => JSON.parse(text).id)
  t.equal(new Set(ids.map(id => JSON.stringify(id))).size, 3, 'the server never has one id twice')
  const write = ids
    .toReversed()
    .map(id => line({ jsonrpc: '2.0', id, result: { wire: id } }))
    .join('')
  await a.post(rpc('all', 'do', { write }))
  t.same([(await a.next()).id, (await a.next()).id, (await a.next()).id, (await a.next()).id], ['1', 1, 1, 'all'])
  t.equal(b.stream.events.items.length, 3, 'endpoint, initialize and its own answer')
  a.close()
  b.close()
})

t.test("the server's questions are answered by POST, under their own ids", async t => {
  const { url, log } = await pipeDoor(t, 'puppet-stdio.ts')
  const s = await sseReady(url)
  await log.child(/initialized/)
  await s.post(rpc(7, 'do', { write: question(7) + question('7') }))
  t.match(await s.next(), { id: 7, method: 'sampling/createMessage' })
  t.match(await s.next(), { id: '7', method: 'sampling/createMessage' })
  t.match(await s.next(), { id: 7, result: {} })
  for (const id of [7, '7']) await s.post({ jsonrpc: '2.0', id, result: { to: id } })
  await log.child(/seen.*"to":7/)
  await log.child(/seen.*"to":"7"/)
  s.close()
})

t.test('a cancellation reaches the server once; nothing is told to who has cancelled', async t => {
  const { url, log, door } = await pipeDoor(t, 'puppet-stdio.ts', { settings: { cancelGrace: 50 } })
  const s = await sseReady(url)
  await s.post(rpc(1, 'do', held))
  await s.post(notification('notifications/cancelled', { requestId: 1, reason: 'enough' }))
  t.match(await log.child(/seen.*cancelled/), /"requestId":1,"reason":"enough"/)
  await s.post(rpc(2, 'do', { every: 200, times: 1 }))
  t.match(await s.next(), { id: 2 })
  t.equal(log.seen.filter(text => text.includes('cancelled')).length, 1)
  t.equal(door.stats.exchanges, 1, 'the stream alone')
  s.close()
})

t.test('a call that is not answered in time fails on the stream, and the server is told', async t => {
  const { url, log } = await pipeDoor(t, 'puppet-stdio.ts', { settings: { requestTimeout: 300 } })
  const s = await sseReady(url)
  t.equal((await s.post(rpc('late', 'do', held))).status, 202)
  t.match(await s.next(), { id: 'late', error: { data: { code: 'upstream_timeout' } } })
  await log.child(/seen.*cancelled.*late/)
  await s.post(rpc(2, 'do'))
  t.match(await s.next(), { id: 2 })
  s.close()
})

t.test('a batch of 2025-03-26 gets one reply; what the server says meanwhile comes before', async t => {
  const { url, log } = await pipeDoor(t, 'puppet-stdio.ts')
  const s = await sseReady(url, '2025-03-26')
  const says = { write: line(notification('meanwhile')) }
  const batch = [
    rpc(1, 'do'),
    notification('in the batch'),
    rpc('1', 'do', says),
    { jsonrpc: '2.0', id: 9, result: {} }
  ]
  t.equal((await s.post(batch)).status, 202)
  t.match(await s.next(), { method: 'meanwhile' })
  const answers = JSON.parse((await s.stream.next()).data) as { id: unknown }[]
  t.same(
    answers.map(a => a.id),
    [1, '1']
  )
  await log.child(/seen.*in the batch/)
  await log.child(/seen.*"id":9/)
  await s.post([rpc(2, 'do')])
  t.match(JSON.parse((await s.stream.next()).data), [{ id: 2 }], 'one answer is an array too')
  await s.post([notification('only')])
  await log.child(/seen.*only/)
  await s.post(rpc(3, 'do'))
  t.match(await s.next(), { id: 3 }, 'a batch without requests is answered with nothing')
  s.close()
})

t.test('a batch is refused in every other revision, and initialize in any', async t => {
  const { url, log } = await pipeDoor(t, 'puppet-stdio.ts')
  for (const version of ['2024-11-05', '2025-06-18', '2025-11-25']) {
    const s = await sseReady(url, version)
    await s.post([rpc(1, 'batched')])
    t.match(await s.next(), { error: { code: -32600, message: new RegExp(version) } }, version)
    s.close()
  }
  const s = await sseSession(url)
  await s.post([rpc(1, 'initialize', { protocolVersion: '2025-03-26', capabilities: {}, batched: true })])
  t.match(await s.next(), { error: { code: -32600, message: /initialize/ } })
  t.notOk(log.seen.some(text => text.includes('batched')))
  s.close()
})

t.test('a message of the modern era is refused with a sentence, and the session goes on', async t => {
  const { url, log } = await pipeDoor(t, 'puppet-stdio.ts')
  const s = await sseReady(url)
  await s.post(modern(rpc(1, 'tools/list')))
  t.match(await s.next(), { id: 1, error: { message: /2026-07-28 has no HTTP\+SSE/ } })
  await s.post(rpc(2, 'tools/list'), { 'mcp-protocol-version': '2026-07-28' })
  t.match(await s.next(), { id: 2, error: { message: /2026-07-28 has no HTTP\+SSE/ } })
  await s.post(rpc(3, 'do'))
  t.match(await s.next(), { id: 3, result: {} })
  t.notOk(log.seen.some(text => text.includes('tools/list')))
  s.close()
})
