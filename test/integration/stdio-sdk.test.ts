/** Real clients on stdio and real servers on stdio, through the command line as users run it. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { FIXTURE_RESOURCE, FIXTURE_TEMPLATE } from '../fixtures/servers/definition.ts'
import { connectStdio, HANDLERS, type StdioClientOptions, type StdioTestClient } from '../helpers/clients.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { fixtureArgv } from '../helpers/stdio-peer.ts'
import { callTool } from './http-door.ts'
import { catflapArgs } from './pipe-door.ts'

interface Start extends Partial<StdioClientOptions> {
  readonly server?: 'legacy' | 'modern' | 'dual'
  readonly catflap?: readonly string[]
}

async function connect(t: Test, { server = 'dual', catflap = [], ...options }: Start = {}): Promise<StdioTestClient> {
  trackLeaks(t)
  const command = fixtureArgv('stdio-server.ts', '--era', server)
  const c = await connectStdio({ args: catflapArgs(catflap, command), handlers: HANDLERS, ...options })
  t.teardown(() => c.close())
  return c
}

/** What both eras share. */
async function everyday(t: Test, c: StdioTestClient): Promise<void> {
  t.match(c.client.getServerVersion(), { name: 'catflap-fixture' })
  t.ok((await c.client.listTools()).tools.some(tool => tool.name === 'slow'))
  t.ok((await c.client.listPrompts()).prompts.some(prompt => prompt.name === 'greet'))
  t.ok((await c.client.listResources()).resources.some(({ uri }) => uri === FIXTURE_RESOURCE))
  t.match(await c.client.readResource({ uri: 'fixture://item/10' }), { contents: [{ text: '{"id":"10"}' }] })
  t.match(await c.client.getPrompt({ name: 'greet', arguments: { name: 'Ada' } }), { messages: [{ role: 'user' }] })
  const ref = { type: 'ref/resource', uri: FIXTURE_TEMPLATE } as const
  t.match(await c.client.complete({ ref, argument: { name: 'id', value: '10' } }), {
    completion: { values: ['10', '100'] }
  })
  t.equal(await callTool(c, 'echo', { a: [1, { b: null }] }), '{"a":[1,{"b":null}]}')
  t.equal((await callTool(c, 'big', { bytes: 1_000_000 })).length, 1_000_000)
  t.match(await c.client.callTool({ name: 'fail', arguments: {} }), { isError: true })
  await t.rejects(callTool(c, 'throw', { code: -31_234, message: 'no' }), { code: -31_234, message: 'no' })
  await c.client.callTool({ name: 'progress', arguments: { n: 3 } }, { onprogress() {} })
  const progress = c.notifications.items.filter(n => n.method === 'notifications/progress')
  t.same(
    progress.map(n => n.params?.progress),
    [1, 2, 3]
  )
  t.match(await callTool(c, 'sample'), '"sampled"')
  t.match(await callTool(c, 'elicit'), '"colour":"blue"')
  t.match(await callTool(c, 'roots'), 'file:///fixture')
  const gone = new AbortController()
  const slow = c.client.callTool({ name: 'slow', arguments: {} }, { signal: gone.signal })
  await callTool(c, 'until', { name: 'slow.started' })
  gone.abort('enough')
  await t.rejects(slow)
  t.equal(await callTool(c, 'until', { name: 'slow.cancelled' }), '1', 'the cancellation arrived')
  t.same(faults(c), [])
}

/** What the client complained of. On stdio the SDK loses progress that comes in one chunk with the response; that is no fault. */
function faults(c: StdioTestClient): string[] {
  return c.errors
    .map(error => error.message)
    .filter(text => !text.includes('progress notification for an unknown token'))
}

for (const version of ['2024-11-05', '2025-03-26', '2025-06-18', '2025-11-25']) {
  t.test(`${version}: everything a client does works through the door`, async t => {
    const c = await connect(t, { server: 'legacy', version })
    t.equal(c.client.getNegotiatedProtocolVersion(), version)
    await everyday(t, c)
    await c.client.subscribeResource({ uri: FIXTURE_RESOURCE })
    await callTool(c, 'touch', { uri: FIXTURE_RESOURCE })
    await c.until('notifications/resources/updated')
    await callTool(c, 'change', { what: 'tools' })
    await c.until('notifications/tools/list_changed')
    await c.client.setLoggingLevel('warning')
    await callTool(c, 'log', { level: 'info' })
    await callTool(c, 'log', { level: 'error' })
    t.match(await c.until('notifications/message'), { params: { level: 'error' } })
    t.match(await callTool(c, 'sample', { via: 'session' }), '"sampled"')
  })
}

for (const era of ['modern', 'auto'] as const) {
  t.test(
    `2026-07-28, ${era === 'auto' ? 'found out' : 'pinned'}: everything a client does works through the door`,
    async t => {
      const c = await connect(t, { server: era === 'auto' ? 'dual' : 'modern', era })
      t.equal(c.client.getNegotiatedProtocolVersion(), '2026-07-28')
      await everyday(t, c)
      const heard = await c.client.listen({ toolsListChanged: true, resourceSubscriptions: [FIXTURE_RESOURCE] })
      await callTool(c, 'touch', { uri: FIXTURE_RESOURCE })
      await c.until('notifications/resources/updated')
      await callTool(c, 'change', { what: 'tools' })
      await c.until('notifications/tools/list_changed')
      await heard.close()
      t.equal(await callTool(c, 'count'), '1')
    }
  )
}

t.test('a client that tries the modern era first falls back at a legacy server', async t => {
  const c = await connect(t, { server: 'legacy', era: 'auto' })
  t.equal(c.client.getNegotiatedProtocolVersion(), '2025-11-25')
  t.equal(await callTool(c, 'count'), '1')
})

t.test('with a log at its loudest and a tape, stdout still carries nothing but messages', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'catflap-stdio-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const c = await connect(t, { catflap: ['--log-level', 'debug', '--record', `${folder}/`] })
  await everyday(t, c)
  await c.close()
  t.same(faults(c), [], 'a line that is no message would be an error of the transport')
  await c.stderr.until(line => line.includes('fixture slow.cancelled'))
  t.equal(readdirSync(folder).length, 1)
})
