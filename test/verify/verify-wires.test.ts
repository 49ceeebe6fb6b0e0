/** The server that was recorded, asked the same again: on each wire, in both eras. */
import t from 'tap'
import { trackLeaks } from '../helpers/leaks.ts'
import { recorded, type Wire } from '../replay/replay-stage.ts'
import { check, found, freshServer, legacyScript } from './verify-stage.ts'

const WIRES: readonly Wire[] = ['http', 'sse', 'stdio']

for (const [client, server] of [
  ['http', 'http'],
  ['http', 'stdio'],
  ['stdio', 'stdio'],
  ['sse', 'sse'],
  ['stdio', 'http']
] as const)
  t.test(`recorded with a client on ${client} and a server on ${server}`, async t => {
    trackLeaks(t)
    const { file } = await recorded(t, { client, server }, legacyScript)
    for (const wire of WIRES)
      await t.test(`checked over ${wire}: the same`, async t => {
        trackLeaks(t)
        const report = await check(file, await freshServer(t, wire))
        t.same(found(report), [])
        t.match(report, { outcome: 'same', counts: { different: 0, skipped: 0 } })
        t.ok(report.counts.same > 20, `${report.counts.same} requests`)
      })
  })
