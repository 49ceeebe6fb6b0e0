/** Hooks are other people's code: whatever they return or throw, every client and every server gets an answer. */
import t from 'tap'
import type { Interceptor } from '../../src/index.ts'
import { Message } from '../../src/index.ts'
import { rawPost } from '../helpers/raw-client.ts'
import { rpc } from '../helpers/rpc.ts'
import { within } from '../helpers/wait.ts'
import { rawDoor } from '../integration/http-door.ts'
import { pipeDoor, pipeSession, question, stdioDoor } from '../integration/pipe-door.ts'

const CALL = JSON.stringify(rpc(1, 'x'))

const illegal: Record<string, Interceptor> = {
  'a header': { name: 'bad', request: () => ({ http: { status: 200, headers: ['X-A', 'a\nb'], body: undefined } }) },
  'a status': { name: 'bad', request: () => ({ http: { status: 1000, headers: [], body: undefined } }) },
  'a header of the answer': { name: 'bad', head: (_, head) => void head.headers.push('X-A', 'a\nb') }
}
for (const [what, interceptor] of Object.entries(illegal)) {
  t.test(`a hook makes ${what} that HTTP does not allow: the client is told`, async t => {
    const { door, url } = await rawDoor(t, undefined, { interceptors: [interceptor] })
    const answer = await rawPost(url, CALL)
    t.ok(answer.status >= 500)
    t.match(answer.json(), { error: { code: Number } })
    t.equal(door.stats.exchanges, 0)
  })
}

t.test('where not even the error can be told, the connection ends', async t => {
  const { door, url } = await rawDoor(t, undefined, {
    interceptors: [{ name: 'bad', request: x => void x.reply.extra.push('X-A', 'a\nb'), head: () => {} }]
  })
  await t.rejects(rawPost(url, CALL))
  t.equal(door.stats.exchanges, 0)
})

t.test('promises of any make are waited for', async t => {
  const like = <T>(value: T): Promise<T> =>
    // biome-ignore lint/suspicious/noThenProperty: a promise of another make is what is tested
    ({ then: (resolve: (v: T) => void) => resolve(value) }) as unknown as Promise<T>
  const { url } = await rawDoor(t, undefined, {
    interceptors: [
      {
        name: 'foreign',
        request: () => like(undefined),
        head: (_, head) => like(void head.headers.push('X-Seen', 'yes')),
        message: (_, m) => like(m)
      }
    ]
  })
  const answer = await rawPost(url, CALL)
  t.match(answer, { status: 200, headers: { 'x-seen': 'yes' } })
  t.equal(answer.text, '{"jsonrpc":"2.0","id":1,"result":{"echo":null}}')
})

t.test('`wants` is asked once for an exchange; where it throws, that exchange fails', async t => {
  const asked: string[] = []
  const { url } = await pipeDoor(t, 'puppet-stdio.ts', {
    interceptors: [
      {
        name: 'choosy',
        wants(place) {
          if (!('reply' in place)) return false
          asked.push(place.message?.method ?? place.kind)
          if (place.message?.method === 'bad') throw new Error('broken')
          return true
        },
        message: (_, m) => m
      }
    ]
  })
  const s = await pipeSession(url)
  t.match((await s.post(rpc(1, 'bad'))).json(), { id: 1, error: { data: { code: 'internal' } } })
  t.equal((await s.post(rpc(2, 'fine', { write: '{"jsonrpc":"2.0","method":"a"}\n' }))).status, 200)
  t.same(asked, ['initialize', 'bad', 'fine'])
})

t.test('a batch whose messages fail each in its way fails once', async t => {
  const { url } = await rawDoor(t, undefined, {
    interceptors: [
      {
        name: 'broken',
        message(_, m) {
          if (m.method === 'b') throw new Error('at once')
          return m.method === 'a' ? Promise.reject(new Error('late')) : m
        }
      }
    ]
  })
  const answer = await rawPost(url, [rpc(1, 'a'), rpc(2, 'b')], { 'mcp-protocol-version': '2025-03-26' })
  t.match(answer, { status: 500, text: /"code":"internal"/ })
})

const keepers: Record<string, Interceptor['message']> = {
  drops: (_, m) => (m.method === 'sampling/createMessage' ? undefined : m),
  'drops late': async (_, m) => (m.method === 'sampling/createMessage' ? undefined : m),
  'fails on': (_, m) => {
    if (m.method === 'sampling/createMessage') throw new Error('broken')
    return m
  }
}
for (const [does, message] of Object.entries(keepers)) {
  const interceptors = [{ name: 'keeper', message }]
  t.test(`a server whose request a hook ${does} hears that, on a pipe of its own`, async t => {
    const { send, log, lines } = await stdioDoor(t, 'puppet-stdio.ts', { interceptors })
    send(rpc(1, 'do', { write: question('s1') }))
    t.match(await log.child(/seen.*"id":"s1"/), /"code":"blocked"/)
    await lines.until(l => l.includes('"id":1'))
    t.equal(lines.items.length, 1)
  })

  t.test(`a server whose request a hook ${does} hears that, behind HTTP`, async t => {
    const { url, log } = await pipeDoor(t, 'puppet-stdio.ts', { interceptors })
    const s = await pipeSession(url)
    const call = s.post(rpc(1, 'do', { write: question('s1') }))
    t.match(await log.child(/seen.*"id":"s1"/), /"code":"blocked"/)
    await call
    await s.post({ jsonrpc: '2.0', id: 's1', result: {} })
    await s.post(rpc('last', 'do'))
    t.equal(log.seen.filter(l => l.includes('"id":"s1"')).length, 1, 'and hears it once')
  })

  t.test(`a server over HTTP whose request a hook ${does} hears that`, async t => {
    const { server, url } = await rawDoor(t, undefined, { interceptors })
    server.next(async x => {
      x.sse()
      await x.sendMessage({ jsonrpc: '2.0', id: 's1', method: 'sampling/createMessage' })
      await x.sendMessage({ jsonrpc: '2.0', id: 1, result: {} })
      x.end()
    })
    await rawPost(url, CALL).catch(() => {})
    const heard = await server.exchange(2)
    t.match([heard.method, heard.headers['content-type']], ['POST', 'application/json'])
    t.match(JSON.parse(heard.text), { id: 's1', error: { data: { code: 'blocked' } } })
  })
}

t.test('a client that closes its pipe while a hook holds its request is waited for so long, not for ever', async t => {
  const { send, input, door } = await stdioDoor(t, 'puppet-stdio.ts', {
    interceptors: [{ name: 'holds', request: () => new Promise<undefined>(() => {}) }],
    settings: { drainTimeout: 50 }
  })
  send(rpc(1, 'do'), rpc(2, 'do'))
  input.end()
  t.same(await within(door.ended), { why: 'client' })
})

t.test('a stream whose length the server told stays whole where a hook changes an event', async t => {
  const { server, url } = await rawDoor(t, undefined, {
    interceptors: [
      {
        name: 'longer',
        message: (_, m, direction) =>
          direction === 'down' ? Message.from({ jsonrpc: '2.0', id: 1, result: 'x'.repeat(100) }) : m
      }
    ]
  })
  server.next(x => x.respond(200, 'text/event-stream', 'data: {"jsonrpc":"2.0","id":1,"result":{}}\n\n'))
  const answer = await rawPost(url, CALL)
  t.match(answer.text, /x{100}"}\n\n$/)
  t.equal(answer.headers['content-length'], undefined)
})
