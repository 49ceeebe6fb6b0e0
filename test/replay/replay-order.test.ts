/** In which order things come from a tape when several requests are open at once, and what comes again when a request does. */
import t, { type Test } from 'tap'
import { notification, rpc } from '../helpers/rpc.ts'
import { asked, byHand, type HandClient, handshake, httpTape, type Json } from './hand-stage.ts'
import { down, type FrameFacts, notice, request, result, sseHead, tapeOf, up } from './recording-door.ts'

const SAMPLING = { sampling: {} }
const call = (id: number, name: string): object => request(id, 'tools/call', { name })
const log = (data: string): object => notice('notifications/message', { level: 'info', data })
const question = (id: string): object =>
  request(id, 'sampling/createMessage', { messages: [], maxTokens: 1, which: id })
const sampled = (id: unknown): object => result(id, { role: 'assistant', content: { type: 'text', text: 'yes' } })
const heard = (message: object): FrameFacts => down('stdio', message)
const said = (message: object): FrameFacts => up('stdio', message)

function pipeTape(t: Test, frames: readonly FrameFacts[], capabilities: object = {}): string {
  const all = [...handshake(capabilities, 'stdio'), ...frames]
  return tapeOf(
    t,
    all.map(frame => ({ session: 's1', ...frame }))
  )
}

/** What came, until this answer came. */
async function toldUntil({ heard }: HandClient, id: number): Promise<unknown[]> {
  await heard.until(m => m.id === id && m.method === undefined)
  return heard.items.filter(m => m.id !== 'begin').map(short)
}

const short = ({ id, method, params }: Json): unknown => (method ? (params?.data ?? params?.which ?? method) : id)

t.test('what was said while several requests were open keeps its place between their answers', async t => {
  const file = pipeTape(t, [
    said(call(1, 'a')),
    said(call(2, 'b')),
    heard(log('L1')),
    heard(log('L2')),
    heard(result(1)),
    heard(log('L3')),
    heard(result(2))
  ])
  for (const order of [
    [1, 2],
    [2, 1]
  ]) {
    const client = await byHand(t, 'stdio', file)
    for (const id of order) void client.say(call(id, id === 1 ? 'a' : 'b'))
    await client.heard.until(m => m.id === 1)
    t.same(await toldUntil(client, 2), ['L1', 'L2', 1, 'L3', 2])
  }
})

t.test('of two calls that each ask, none is answered before its question', async t => {
  const file = pipeTape(
    t,
    [
      said(call(1, 'ask')),
      said(call(2, 'ask')),
      heard(question('q1')),
      said(sampled('q1')),
      heard(result(1)),
      heard(question('q2')),
      said(sampled('q2')),
      heard(result(2))
    ],
    SAMPLING
  )
  const client = await byHand(t, 'stdio', file, { capabilities: SAMPLING })
  void client.say(call(1, 'ask'))
  void client.say(call(2, 'ask'))
  for (const which of ['q1', 'q2']) {
    const { id } = await client.heard.until(m => m.params?.which === which)
    void client.say(sampled(id))
  }
  t.same(await toldUntil(client, 2), ['q1', 1, 'q2', 2])
  t.match(client.door.replay, { misses: 0, divergences: 0 })
})

t.test('a request that is made again, its recordings used up, waits for none and keeps none waiting', async t => {
  const file = pipeTape(t, [
    said(call(1, 'a')),
    said(call(2, 'b')),
    heard(log('L')),
    heard(result(1)),
    heard(result(2))
  ])
  const client = await byHand(t, 'stdio', file)
  for (let id = 1; id < 20; id++) void client.say(call(id, id % 2 ? 'a' : 'b'))
  for (let id = 1; id < 20; id++) await client.heard.until(m => m.id === id)
  t.match(client.door.replay, { misses: 0, requests: 20 })
})

for (const where of ['behind', 'before'] as const)
  t.test(`a list that changed once, ${where} the answer, changes once, however often it is asked for`, async t => {
    const changed = heard(notice('notifications/tools/list_changed'))
    const answer = heard(result(1, { tools: [] }))
    const file = pipeTape(t, [
      said(request(1, 'tools/list')),
      ...(where === 'behind' ? [answer, changed] : [changed, answer]),
      said(request(2, 'ping')),
      heard(result(2))
    ])
    const { say, heard: inbox } = await byHand(t, 'stdio', file)
    for (let id = 1; id <= 3; id++) {
      await say(rpc(id, 'tools/list'))
      await inbox.until(m => m.id === id)
      if (id === 1) await inbox.until(m => m.method === 'notifications/tools/list_changed')
      // What came behind the answer stands before this.
      await say(rpc(`ping ${id}`, 'ping'))
      await inbox.until(m => m.id === `ping ${id}`)
    }
    t.equal(inbox.items.filter(m => m.method === 'notifications/tools/list_changed').length, 1)
  })

t.test('what was said at large, or has changed, is not said again with an answer that is', async t => {
  const progress = notice('notifications/progress', { progressToken: 'p', progress: 1 })
  const changes = ['notifications/resources/updated', 'notifications/tools/list_changed']
  const own = [progress, ...changes.map(method => notice(method)), log('own')].map(message => down('post-1', message))
  const asking = request(1, 'tools/call', { name: 'a', _meta: { progressToken: 'p' } })
  const http = httpTape(t, [up('post-1', asking), sseHead('post-1'), ...own, down('post-1', result(1))])
  const { say } = await byHand(t, 'http', http)
  const methods = async (id: number): Promise<unknown[]> => {
    const { text } = await say(rpc(id, 'tools/call', { name: 'a', _meta: { progressToken: id } }))
    return [...text.matchAll(/"method":"([^"]*)"/g)].map(([, method]) => method)
  }
  const always = ['notifications/progress', 'notifications/message']
  t.same((await methods(1)).toSorted(), [...always, ...changes].toSorted())
  t.same(await methods(2), always)

  const loose = [said(request(1, 'tools/call', { name: 'a' })), heard(log('at large')), heard(result(1))]
  const pipe = await byHand(t, 'stdio', pipeTape(t, loose))
  for (const id of [1, 2]) {
    void pipe.say(call(id, 'a'))
    await pipe.heard.until(m => m.id === id)
  }
  t.same(pipe.heard.items.filter(m => m.id !== 'begin').map(short), ['at large', 1, 2])
})

for (const wire of ['http', 'stdio'] as const)
  t.test(`${wire}: what was answered when it was cancelled stays unanswered until it is cancelled again`, async t => {
    const file = httpTape(t, [
      up('post-1', call(1, 'slow')),
      up('post-2', notice('notifications/cancelled', { requestId: 1 })),
      { stream: 'post-2', dir: 'down', kind: 'head', http: { status: 202, headers: [] } },
      down('post-1', result(1, { late: true }), {
        http: { status: 200, headers: [['content-type', 'application/json']] }
      }),
      ...asked(3, 'tools/list', {}, { tools: [] })
    ])
    const { say, heard, door } = await byHand(t, wire, file)
    void say(rpc('slow', 'tools/call', { name: 'slow' }))
    await say(rpc(3, 'tools/list'))
    await heard.until(m => m.id === 3)
    await say(rpc(4, 'ping'))
    await heard.until(m => m.id === 4)
    t.notOk(heard.items.some(m => m.id === 'slow'))
    await say(notification('notifications/cancelled', { requestId: 'slow' }))
    if (wire === 'http') t.match(await heard.until(m => m.id === 'slow'), { result: { late: true } })
    else await say(rpc(5, 'ping')).then(() => heard.until(m => m.id === 5))
    t.match(door.replay, { misses: 0 })
  })

t.test("an error that answers nothing comes where it came, ends no request, and stays off HTTP's streams", async t => {
  const file = pipeTape(t, [
    said(call(1, 'lost')),
    heard({ jsonrpc: '2.0', id: null, error: { code: -32_700, message: 'what?' } }),
    said(call(2, 'b')),
    heard(result(2, { n: 2 })),
    said(notice('notifications/cancelled', { requestId: 1 }))
  ])
  const pipe = await byHand(t, 'stdio', file)
  void pipe.say(call(1, 'lost'))
  t.match(await pipe.next(), { id: null, error: { code: -32_700, message: 'what?' } })
  void pipe.say(call(2, 'b'))
  t.match(await pipe.next(), { id: 2, result: { n: 2 } }, 'and the first has no answer')
  t.match(pipe.door.replay, { misses: 0, requests: 3 })
  const http = await byHand(t, 'http', file)
  void http.say(call(1, 'lost'))
  void http.say(call(2, 'b'))
  t.match(await http.next(), { id: 2, result: { n: 2 } })
})
