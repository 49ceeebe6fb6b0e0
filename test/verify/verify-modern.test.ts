/** Requests of the modern era, asked again. */
import t from 'tap'
import type { TestClient } from '../helpers/clients.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { callTool, recorded } from '../replay/replay-stage.ts'
import { cancelled, check, found, freshServer } from './verify-stage.ts'

async function script(c: TestClient): Promise<void> {
  await c.client.listTools()
  await c.client.listPrompts()
  await c.client.readResource({ uri: 'fixture://item/10' })
  await callTool(c, 'count')
  await c.client.callTool({ name: 'throw', arguments: { code: -31_234, message: 'no' } }).catch(String)
  await c.client.callTool({ name: 'progress', arguments: { n: 3 } }, { onprogress() {} })
  await callTool(c, 'sample')
  await callTool(c, 'elicit')
  await Promise.all([1, 2, 3].map(n => callTool(c, 'echo', { n })))
  await cancelled(c)
}

for (const [client, server] of [
  ['http', 'http'],
  ['stdio', 'stdio'],
  ['http', 'stdio']
] as const)
  for (const era of ['modern', 'auto'] as const)
    t.test(`recorded with a client (${era}) on ${client} and a server on ${server}`, async t => {
      trackLeaks(t)
      const { file } = await recorded(t, { client, server, era: 'dual', as: { era } }, script)
      for (const wire of ['http', 'stdio'] as const)
        await t.test(`checked over ${wire}: the same`, async t => {
          trackLeaks(t)
          const report = await check(file, await freshServer(t, wire, 'dual'))
          t.same(found(report), [])
          t.match(report, { outcome: 'same', counts: { different: 0, skipped: 0 } })
          t.ok(report.counts.same > 10, `${report.counts.same} requests`)
        })
    })
