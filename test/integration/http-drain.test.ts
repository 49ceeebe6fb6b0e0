/** Stopping: calls in flight finish, nothing new is taken, nothing is left. */
import { Agent, request } from 'node:http'
import { text } from 'node:stream/consumers'
import t from 'tap'
import type { Message } from '../../src/index.ts'
import { faults } from '../fixtures/servers/faults.ts'
import { echo, type Script } from '../fixtures/servers/raw-http.ts'
import { startCatflap } from '../helpers/catflap.ts'
import { openSse, rawPost, send } from '../helpers/raw-client.ts'
import { legacyHeaders, POST_HEADERS, rpc, toolCall } from '../helpers/rpc.ts'
import { waitFor } from '../helpers/wait.ts'
import { rawDoor, rawSession, sdkDoor, watcher } from './http-door.ts'

const CALL = JSON.stringify(rpc(1, 'x'))

t.test('calls in flight finish, streams end in order, sessions end upstream', async t => {
  const { server, door, url } = await sdkDoor(t)
  const id = await rawSession(url)
  const stream = await openSse(url, { headers: { ...legacyHeaders(id), accept: 'text/event-stream' } })
  const slow = rawPost(url, toolCall(1, 'slow'), legacyHeaders(id))
  await server.counters.until('slow.started')
  const closed = door.close()
  server.changed('tools')
  t.match(await stream.nextMessage(), { method: 'notifications/tools/list_changed' }, 'streams stay open meanwhile')
  server.state.gate.release()
  t.match((await slow).text, 'released')
  t.equal(await stream.ended, 'end')
  await closed
  t.equal(server.counters.count('session.deleted'), 1)
  t.same({ ...door.stats, tape: undefined }, { sessions: 0, exchanges: 0, streams: 0, connections: 0, tape: undefined })
  await t.rejects(rawPost(url, CALL), { code: 'ECONNREFUSED' })
})

t.test('what comes on open connections is refused, but answers to questions still pass', async t => {
  const { server, door, url } = await rawDoor(t, faults.hang)
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => agent.destroy())
  const post = async (body: string) => {
    const req = request(url, { method: 'POST', agent, headers: POST_HEADERS })
    req.end(body)
    const [res] = (await waitFor(req, 'response')) as [import('node:http').IncomingMessage]
    return { status: res.statusCode, retry: res.headers['retry-after'], text: await text(res) }
  }
  server.next(echo)
  t.equal((await post(CALL)).status, 200)
  const inFlight = rawPost(url, CALL)
  const x = await server.exchange(2)
  const closed = door.close()
  const refused = await post(CALL)
  t.match(refused, { status: 503, retry: '1', text: /"id":1,.*"shutting_down"/ })
  server.next(echo)
  t.equal((await post('{"jsonrpc":"2.0","id":7,"result":{}}')).status, 202)
  await t.rejects(rawPost(url, CALL), { code: 'ECONNREFUSED' })
  x.json(200, '{"jsonrpc":"2.0","id":1,"result":{}}')
  t.equal((await inFlight).status, 200)
  await closed
})

t.test('what has not finished by then is cut, with an answer', async t => {
  const { server, door, url } = await rawDoor(t, faults.hang)
  const hanging = rawPost(url, CALL)
  await server.exchange(1)
  server.next(faults.hangInSse)
  const stream = await openSse(url, { body: rpc('s', 'x') })
  await door.close({ drainTimeout: 30 })
  t.match(await hanging.then(answer => [answer.status, answer.text]), [503, /"id":1,.*"shutting_down"/])
  t.match(await stream.nextMessage(), { id: 's', error: { data: { code: 'shutting_down' } } })
  t.equal(await stream.ended, 'end')
  await server.counters.until('aborted', 2)
})

t.test('a GET that the server has not answered yet gets no success of our making', async t => {
  const { server, door, url } = await rawDoor(t, faults.hang)
  const { head } = send(url, { method: 'GET', headers: { accept: 'text/event-stream' } })
  await server.exchange(1)
  await door.close({ drainTimeout: 0 })
  t.equal((await head).statusCode, 503)
})

t.test('an answer that a slow client still reads is not cut off', async t => {
  // Led past a hook, the answer is written in one piece, and nearly all of it waits in the door.
  const body = Buffer.from(`{"jsonrpc":"2.0","id":1,"result":"${'x'.repeat(30_000_000)}"}`)
  const script: Script = x => x.respond(200, 'application/json', body)
  const watch = watcher()
  const interceptors = [watch, { name: 'reads', message: (_: unknown, m: Message) => m }]
  const { door, url } = await rawDoor(t, script, { interceptors })
  const { head } = send(url, { body: CALL, headers: POST_HEADERS })
  const res = await head
  const whole = new Promise<number>((resolve, reject) => {
    let size = 0
    res.on('data', chunk => void (size += chunk.length))
    res.on('end', () => resolve(size))
    res.on('error', reject)
  })
  res.pause()
  await watch.ended.next()
  const closed = door.close()
  setImmediate(() => res.resume())
  t.equal(await whole, body.length)
  await closed
})

t.test('closing twice is closing once, and closing an idle door is quick', async t => {
  const { door, url } = await rawDoor(t)
  await rawPost(url, CALL)
  const startedAt = performance.now()
  await Promise.all([door.close(), door.close()])
  t.ok(performance.now() - startedAt < 2_000)
})

t.test('a server that does not answer DELETE holds nobody up for long', async t => {
  const shake: Script = x =>
    x.method === 'DELETE'
      ? undefined
      : x.json(200, '{"jsonrpc":"2.0","id":0,"result":{}}', ['Mcp-Session-Id', 'theirs'])
  const { server, door, url } = await rawDoor(t, shake)
  await rawSession(url)
  const startedAt = performance.now()
  await door.close()
  t.equal(server.counters.count('DELETE'), 1)
  t.ok(performance.now() - startedAt < 5_000)
})

t.test('the process ends with 0 on SIGTERM once calls have finished', async t => {
  const { server } = await sdkDoor(t)
  const catflap = await startCatflap(['forward', '--listen', '0', server.url])
  const id = await rawSession(catflap.url)
  const slow = rawPost(catflap.url, toolCall(1, 'slow'), legacyHeaders(id))
  await server.counters.until('slow.started')
  catflap.proc.kill('SIGTERM')
  await waitForRefusal(catflap.url)
  server.state.gate.release()
  t.match((await slow).text, 'released')
  t.same(await catflap.exit, { code: 0, signal: null })
  t.equal(server.counters.count('session.deleted'), 1)
})

async function waitForRefusal(url: string): Promise<void> {
  for (;;) {
    const refused = await rawPost(url, '{').then(
      () => false,
      () => true
    )
    if (refused) return
  }
}
