/** Real clients on HTTP+SSE and a real server on stdio. */
import { Client as OlderClient } from '@modelcontextprotocol/sdk/client/index.js'
import { SSEClientTransport as OlderTransport } from '@modelcontextprotocol/sdk/client/sse.js'
import t from 'tap'
import { FIXTURE_RESOURCE } from '../fixtures/servers/definition.ts'
import { callTool } from './http-door.ts'
import { pipeDoor } from './pipe-door.ts'
import { sseClient, sseUrl } from './sse-down-door.ts'

for (const version of ['2024-11-05', '2025-03-26', '2025-06-18', '2025-11-25']) {
  t.test(`${version}: everything a client does works through the door`, async t => {
    const { url, door, log } = await pipeDoor(t, 'stdio-server.ts', { args: ['--era', 'legacy'] })
    const c = await sseClient(t, url, { version })
    t.equal(c.client.getNegotiatedProtocolVersion(), version)
    t.equal(door.stats.sessions, 1)
    t.ok((await c.client.listTools()).tools.some(tool => tool.name === 'slow'))
    t.ok((await c.client.listPrompts()).prompts.some(prompt => prompt.name === 'greet'))
    t.match(await c.client.readResource({ uri: 'fixture://item/10' }), { contents: [{ text: '{"id":"10"}' }] })
    t.equal((await callTool(c, 'big', { bytes: 300_000 })).length, 300_000)
    await t.rejects(callTool(c, 'throw', { code: -31_234, message: 'no' }), { code: -31_234, message: 'no' })
    // The client itself forgets who waits for progress when it reads the answer in the same chunk.
    await c.client.callTool({ name: 'progress', arguments: { n: 3 } }, { onprogress: () => {} })
    t.match(c.messages.items.slice(-4), [...[1, 2, 3].map(progress => ({ params: { progress } })), { result: {} }])
    const asks =
      version === '2024-11-05' || version === '2025-03-26' ? ['sample', 'roots'] : ['sample', 'elicit', 'roots']
    const answers = { sample: '"sampled"', elicit: '"colour":"blue"', roots: 'file:///fixture' }
    for (const via of ['call', 'session'])
      for (const ask of asks)
        t.match(await callTool(c, ask, { via }), answers[ask as keyof typeof answers], `${ask} ${via}`)
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
    t.same(
      c.http.items.filter(fact => fact.method === 'POST' && fact.status !== 202),
      [],
      'every POST was answered with 202'
    )
    await c.close()
    await log.until(line => line.event === 'session-end')
    t.equal(door.stats.sessions, 0)
    await door.close()
    t.same(
      log.items.filter(line => line.level === 'warn' || line.level === 'error'),
      [],
      'a client that leaves is nothing to be warned of'
    )
  })
}

t.test('the SDK of the time before works as well', async t => {
  const { url, door, log } = await pipeDoor(t, 'stdio-server.ts', { args: ['--era', 'legacy'] })
  const client = new OlderClient({ name: 'older', version: '1' })
  // Its pooled connections close by themselves, but not at once.
  const closing = { requestInit: { headers: { connection: 'close' } } }
  await client.connect(new OlderTransport(sseUrl(url), closing) as never)
  t.ok((await client.listTools()).tools.length > 3)
  await t.rejects(client.callTool({ name: 'throw', arguments: { code: -31_234, message: 'no' } }), { code: -31_234 })
  await client.close()
  await log.until(line => line.event === 'session-end')
  t.equal(door.stats.sessions, 0)
})

t.test('clients at once with equal ids: each gets its own', async t => {
  const { url, door } = await pipeDoor(t, 'stdio-server.ts', { args: ['--era', 'legacy'] })
  const clients = await Promise.all(Array.from({ length: 4 }, () => sseClient(t, url)))
  t.equal(door.stats.sessions, 4)
  const sums = await Promise.all(
    clients.flatMap((c, i) => Array.from({ length: 25 }, (_, k) => callTool(c, 'add', { a: i * 1_000, b: k })))
  )
  t.same(
    sums,
    clients.flatMap((_, i) => Array.from({ length: 25 }, (_, k) => String(i * 1_000 + k)))
  )
})
