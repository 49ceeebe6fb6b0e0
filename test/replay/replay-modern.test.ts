/** Everything that a client of revision 2026-07-28 does: recorded over HTTP and stdio, and replayed over both. */
import t from 'tap'
import { FIXTURE_RESOURCE } from '../fixtures/servers/definition.ts'
import type { TestClient } from '../helpers/clients.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { callTool, recorded, replayClient, replayDoor } from './replay-stage.ts'

const AS = { era: 'auto' } as const

async function everything(c: TestClient): Promise<unknown[]> {
  const told: unknown[] = []
  told.push(c.client.getNegotiatedProtocolVersion(), c.client.getServerCapabilities())
  told.push((await c.client.listTools()).tools, (await c.client.listPrompts()).prompts)
  told.push(await c.client.readResource({ uri: 'fixture://item/10' }))
  told.push(await callTool(c, 'fail'), await callTool(c, 'count'), await callTool(c, 'count'))
  told.push(await callTool(c, 'region', { region: 'north' }))
  told.push(await c.client.callTool({ name: 'throw', arguments: { code: -31_234, message: 'no' } }).catch(String))
  const steps = (): unknown[] =>
    c.notifications.items
      .filter(n => n.method === 'notifications/progress')
      .map(({ params }) => [params?.progress, params?.message])
  told.push(await c.client.callTool({ name: 'progress', arguments: { n: 3 } }, { onprogress() {} }), steps())
  told.push(await callTool(c, 'sample'), await callTool(c, 'elicit'), await callTool(c, 'roots'))
  const subscription = await c.client.listen({ toolsListChanged: true, resourceSubscriptions: [FIXTURE_RESOURCE] })
  told.push(await callTool(c, 'change', { what: 'tools' }))
  told.push((await c.until('notifications/tools/list_changed')).method)
  told.push(await callTool(c, 'touch', { uri: FIXTURE_RESOURCE }))
  told.push((await c.until('notifications/resources/updated')).params?.uri)
  await subscription.close()
  told.push(await Promise.all([1, 2, 3].map(n => callTool(c, 'echo', { n }))))
  return told
}

for (const [client, server] of [
  ['http', 'http'],
  ['http', 'stdio'],
  ['stdio', 'stdio'],
  ['stdio', 'http']
] as const)
  t.test(`recorded with a client on ${client} and a server on ${server}`, async t => {
    trackLeaks(t)
    const { file, told } = await recorded(t, { client, server, era: 'modern', as: AS }, everything)
    for (const wire of ['http', 'stdio'] as const)
      await t.test(`replayed over ${wire}`, async t => {
        trackLeaks(t)
        const door = wire === 'stdio' ? file : await replayDoor(t, file)
        const { c, end } = await replayClient(t, wire, door, AS)
        t.same(await everything(c), told)
        await end()
        if (typeof door === 'string') return
        await door.close()
        t.match(door.replay, { misses: 0, divergences: 0, unused: 0, sessions: 1 })
      })
  })
