/** Everything that a client of the legacy era does: recorded on one wire, and replayed on each. */
import t from 'tap'
import { FIXTURE_RESOURCE } from '../fixtures/servers/definition.ts'
import type { TestClient } from '../helpers/clients.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { callTool, recorded, replayClient, replayDoor, type Wire } from './replay-stage.ts'

const WIRES: readonly Wire[] = ['http', 'sse', 'stdio']

/** Says what it was told: the same again, where the server is a tape. */
async function everything(c: TestClient): Promise<unknown[]> {
  const told: unknown[] = []
  told.push(c.client.getServerVersion(), c.client.getServerCapabilities(), c.client.getInstructions())
  told.push((await c.client.listTools()).tools, (await c.client.listPrompts()).prompts)
  told.push(await c.client.readResource({ uri: 'fixture://item/10' }))
  told.push((await callTool(c, 'big', { bytes: 300_000 })).length)
  told.push(await callTool(c, 'fail'), await callTool(c, 'count'), await callTool(c, 'count'))
  told.push(await c.client.callTool({ name: 'throw', arguments: { code: -31_234, message: 'no' } }).catch(String))
  // The SDK's own callback forgets steps that arrive together with the answer.
  const steps = (): unknown[] =>
    c.notifications.items
      .filter(n => n.method === 'notifications/progress')
      .map(({ params }) => [params?.progress, params?.message])
  told.push(await c.client.callTool({ name: 'progress', arguments: { n: 3 } }, { onprogress() {} }), steps())
  for (const via of ['call', 'session']) {
    told.push(await callTool(c, 'sample', { via }))
    told.push(await callTool(c, 'elicit', { via }))
    told.push(await callTool(c, 'roots', { via }))
  }
  await c.client.subscribeResource({ uri: FIXTURE_RESOURCE })
  told.push(await callTool(c, 'touch', { uri: FIXTURE_RESOURCE }))
  told.push(await c.until('notifications/resources/updated'))
  told.push(await callTool(c, 'change', { what: 'tools' }))
  told.push(await c.until('notifications/tools/list_changed'))
  await c.client.setLoggingLevel('warning')
  told.push(await callTool(c, 'log', { level: 'error' }))
  told.push(await c.until('notifications/message'))
  told.push(await Promise.all([1, 2, 3].map(n => callTool(c, 'echo', { n }))))
  told.push(await Promise.all([1, 2, 3].map(() => callTool(c, 'count'))))
  return told
}

for (const [client, server] of [
  ['http', 'http'],
  ['http', 'stdio'],
  ['stdio', 'stdio'],
  ['sse', 'sse'],
  ['stdio', 'http']
] as const)
  t.test(`recorded with a client on ${client} and a server on ${server}`, async t => {
    trackLeaks(t)
    const { file, told } = await recorded(t, { client, server }, everything)
    for (const wire of WIRES)
      await t.test(`replayed over ${wire}`, async t => {
        trackLeaks(t)
        const door = wire === 'stdio' ? file : await replayDoor(t, file)
        const { c, end } = await replayClient(t, wire, door)
        t.same(await everything(c), told)
        await end()
        if (typeof door === 'string') return
        await door.close()
        t.match(door.replay, { misses: 0, divergences: 0, unused: 0, sessions: 1 })
      })
  })
