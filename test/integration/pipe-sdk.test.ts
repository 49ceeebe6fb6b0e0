/** Real clients on HTTP and real servers on stdio, legacy era. */
import t from 'tap'
import type { Interceptor } from '../../src/index.ts'
import { FIXTURE_RESOURCE } from '../fixtures/servers/definition.ts'
import { rpc } from '../helpers/rpc.ts'
import { callTool, client } from './http-door.ts'
import { pipeDoor, pipeSession, stdioDoor } from './pipe-door.ts'

for (const version of ['2025-03-26', '2025-06-18', '2025-11-25']) {
  t.test(`${version}: everything a client does works through the door`, async t => {
    const { url, door } = await pipeDoor(t, 'stdio-server.ts', { args: ['--era', 'legacy'] })
    const c = await client(t, url, { version })
    t.equal(c.client.getNegotiatedProtocolVersion(), version)
    t.equal(door.stats.sessions, 1)
    t.equal((await c.listening()).status, 200)
    t.ok((await c.client.listTools()).tools.some(tool => tool.name === 'slow'))
    t.ok((await c.client.listPrompts()).prompts.some(prompt => prompt.name === 'greet'))
    t.match(await c.client.readResource({ uri: 'fixture://item/10' }), { contents: [{ text: '{"id":"10"}' }] })
    t.equal((await callTool(c, 'big', { bytes: 300_000 })).length, 300_000)
    await t.rejects(callTool(c, 'throw', { code: -31_234, message: 'no' }), { code: -31_234, message: 'no' })
    const steps: number[] = []
    const onprogress = ({ progress }: { progress: number }) => void steps.push(progress)
    await c.client.callTool({ name: 'progress', arguments: { n: 3 } }, { onprogress })
    t.same(steps, [1, 2, 3])
    for (const via of ['call', 'session']) {
      t.match(await callTool(c, 'sample', { via }), '"sampled"', via)
      t.match(await callTool(c, 'elicit', { via }), '"colour":"blue"', via)
      t.match(await callTool(c, 'roots', { via }), 'file:///fixture', via)
    }
    await c.client.subscribeResource({ uri: FIXTURE_RESOURCE })
    await callTool(c, 'touch', { uri: FIXTURE_RESOURCE })
    await c.until('notifications/resources/updated')
    await callTool(c, 'change', { what: 'tools' })
    await c.until('notifications/tools/list_changed')
    await c.client.setLoggingLevel('warning')
    await callTool(c, 'log', { level: 'info' })
    await callTool(c, 'log', { level: 'error' })
    t.match(await c.until('notifications/message'), { params: { level: 'error' } })
    const gone = new AbortController()
    const slow = c.client.callTool({ name: 'slow', arguments: {} }, { signal: gone.signal })
    await callTool(c, 'until', { name: 'slow.started' })
    gone.abort('enough')
    await t.rejects(slow)
    t.equal(await callTool(c, 'until', { name: 'slow.cancelled' }), '1', 'the cancellation arrived')
    await c.terminate()
    t.equal(door.stats.sessions, 0)
  })
}

t.test('a client that knows both eras falls back to initialize by itself', async t => {
  const { url, door } = await pipeDoor(t, 'stdio-server.ts', { args: ['--era', 'legacy'] })
  const c = await client(t, url, { era: 'auto' })
  t.equal(c.client.getNegotiatedProtocolVersion(), '2025-11-25')
  t.ok((await c.client.listTools()).tools.some(tool => tool.name === 'slow'))
  t.equal(door.stats.sessions, 1)
  await c.terminate()
})

t.test('a client of the modern era alone is told plainly that the server is of the other', async t => {
  const { url, door } = await pipeDoor(t, 'stdio-server.ts', { args: ['--era', 'legacy'] })
  await t.rejects(client(t, url, { era: 'modern' }))
  t.equal(door.stats.sessions, 0)
})

t.test('a call that was written is never sent again, whatever becomes of the child', async t => {
  const { url, log } = await pipeDoor(t, 'raw-stdio.ts', { args: ['--handshake', '--seen', '--die-on', 'tools/call'] })
  const s = await pipeSession(url)
  t.equal((await s.post(rpc(1, 'tools/call', { name: 'pay' }))).status, 502)
  t.equal((await s.post(rpc(1, 'tools/call', { name: 'pay' }))).status, 404)
  t.equal(log.seen.filter(line => line.includes('pay')).length, 1)
})

t.test('a flood reaches its reader whole', async t => {
  const { url } = await pipeDoor(t, 'raw-stdio.ts', { args: ['--handshake', '--flood', '5000'] })
  const s = await pipeSession(url)
  const stream = await s.stream(rpc(1, 'x'))
  t.equal(await stream.ended, 'end')
  t.equal(stream.events.items.length, 5_001)
  t.match(JSON.parse(stream.events.items.at(-1)?.data ?? ''), { id: 1 })
})

t.test('hooks see what belongs to a call with that call, in order, with a session and without', async t => {
  const seen: string[] = []
  const slowly: Interceptor = {
    name: 'slowly',
    async message(_place, message, direction) {
      await new Promise(resolve => setImmediate(resolve))
      seen.push(`${direction} ${message.method ?? `answer ${message.idText}`}`)
      return message
    }
  }
  const { send, lines } = await stdioDoor(t, 'puppet-stdio.ts', { interceptors: [slowly] })
  const progress = { jsonrpc: '2.0', method: 'notifications/progress', params: { progressToken: 1, progress: 1 } }
  const write = `${JSON.stringify(progress)}\n`
  send(rpc(1, 'do', { _meta: { progressToken: 1 }, write, answer: '{"jsonrpc":"2.0","id":1,"result":{}}' }))
  t.match(JSON.parse(await lines.next()), { method: 'notifications/progress' })
  t.match(JSON.parse(await lines.next()), { id: 1 })
  t.same(seen, ['up do', 'down notifications/progress', 'down answer 1'])
})
