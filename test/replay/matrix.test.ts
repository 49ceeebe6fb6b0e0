/**
 * Recorded on the pairings that the other tests leave out, and replayed on each wire: with sampling, elicitation, progress, a call that is
 * cancelled, and equal calls at once.
 */
import t from 'tap'
import type { TestClient } from '../helpers/clients.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { callTool, recorded, replayClient, replayDoor, type Wire } from './replay-stage.ts'

const WIRES: readonly Wire[] = ['http', 'sse', 'stdio']
const RECORDED: readonly (readonly [client: Wire, server: Wire])[] = [
  ['http', 'sse'],
  ['stdio', 'sse'],
  ['sse', 'http'],
  ['sse', 'stdio']
]

async function script(c: TestClient): Promise<unknown[]> {
  const told: unknown[] = [c.client.getServerVersion(), (await c.client.listTools()).tools.length]
  told.push(await callTool(c, 'sample'), await callTool(c, 'elicit'), await callTool(c, 'roots'))
  const before = c.notifications.items.length
  told.push(await c.client.callTool({ name: 'progress', arguments: { n: 3 } }, { onprogress() {} }))
  const steps = c.notifications.items.slice(before).filter(n => n.method === 'notifications/progress')
  told.push(steps.map(({ params }) => [params?.progress, params?.message]))
  const leaving = new AbortController()
  const left = c.client
    .callTool({ name: 'slow', arguments: { key: 'never' } }, { signal: leaving.signal })
    .catch(() => 'left')
  // Behind it, so that it is known to have been asked.
  told.push(await callTool(c, 'add', { a: 1, b: 1 }))
  leaving.abort()
  told.push(await left)
  const equal = await Promise.all([1, 2, 3].map(() => callTool(c, 'count')))
  told.push(equal.sort(), await callTool(c, 'count'))
  return told
}

for (const [client, server] of RECORDED)
  t.test(`recorded with a client on ${client} and a server on ${server}`, async t => {
    trackLeaks(t)
    const { file, told } = await recorded(t, { client, server }, script)
    for (const wire of WIRES)
      await t.test(`replayed over ${wire}`, async t => {
        trackLeaks(t)
        const door = wire === 'stdio' ? file : await replayDoor(t, file)
        const { c, end } = await replayClient(t, wire, door)
        t.same(await script(c), told)
        await end()
        if (typeof door === 'string') return
        await door.close()
        t.match(door.replay, { misses: 0, divergences: 0, unused: 0, sessions: 1 })
      })
  })
