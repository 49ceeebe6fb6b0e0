/** A request that nobody answers: its client gets one error, and the server hears once that it is not wanted any more. */
import t from 'tap'
import { rpc } from '../helpers/rpc.ts'
import { PAIRS, pair } from './pairing-door.ts'

for (const [client, server] of PAIRS)
  t.test(`a call that times out, ${client} × ${server}`, async t => {
    const p = await pair(t, client, server, { version: '2025-06-18', settings: { requestTimeout: 300 } })
    void p.client.say(rpc(1, 'never'))
    await p.server.heard.until(asked => asked.json.method === 'never')
    t.match(await p.client.next(), { id: 1, error: { data: { code: 'upstream_timeout' } } })
    await p.server.heard.until(asked => asked.json.method === 'notifications/cancelled')
    // What is said afterwards comes behind everything that was said before.
    void p.client.say(rpc(2, 'after'))
    const after = await p.server.heard.until(asked => asked.json.method === 'after')
    after.answer({ jsonrpc: '2.0', id: 2, result: {} })
    t.match(await p.client.next(), { id: 2, result: {} })
    const told = p.server.heard.items.filter(asked => asked.json.method === 'notifications/cancelled')
    t.match(
      told.map(asked => asked.json.params),
      [{ requestId: 1 }],
      'once'
    )
  })
