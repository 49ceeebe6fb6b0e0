/** Elicitation in URL mode (2025-11-25, client/elicitation): the question, what comes when it is done, and the error. */
import t from 'tap'
import { notification, rpc } from '../helpers/rpc.ts'
import { PAIRS, pair } from './pairing-door.ts'

const VERSION = '2025-11-25'
const asks = {
  mode: 'url',
  elicitationId: '550e8400-e29b-41d4-a716-446655440000',
  url: 'https://mcp.example.com/connect?elicitationId=550e8400&x=%C3%A9#f',
  message: 'Authorization is required.'
}
const result = (id: unknown, more: object = {}) => ({ jsonrpc: '2.0', id, result: more })
const complete = notification('notifications/elicitation/complete', { elicitationId: asks.elicitationId })

for (const [client, server] of PAIRS) {
  const name = `${client} > ${server}`

  t.test(`${name}: the server asks for a visit, and tells when it was made`, async t => {
    const p = await pair(t, client, server, { version: VERSION })
    void p.client.say(rpc(1, 'tools/call', { name: 'x' }))
    const asked = await p.server.heard.next()
    asked.tell(rpc('e', 'elicitation/create', asks))
    t.same(await p.client.next(), rpc('e', 'elicitation/create', asks))
    void p.client.say(result('e', { action: 'accept' }))
    t.same((await p.server.heard.next()).json, result('e', { action: 'accept' }))
    asked.answer(result(1, { content: [] }))
    t.same(await p.client.next(), result(1, { content: [] }))
    // The person may take long: by then no call is open.
    await p.server.tell(complete)
    t.same(await p.client.next(), complete)
  })

  t.test(`${name}: an error that demands a visit passes with its data`, async t => {
    const p = await pair(t, client, server, { version: VERSION })
    void p.client.say(rpc(1, 'tools/call', { name: 'x' }))
    const asked = await p.server.heard.next()
    const error = { code: -32042, message: 'This request requires more information.', data: { elicitations: [asks] } }
    asked.answer({ jsonrpc: '2.0', id: 1, error })
    t.same(await p.client.next(), { jsonrpc: '2.0', id: 1, error })
    await p.server.tell(complete)
    t.same(await p.client.next(), complete, 'and the notice that follows, after which the client tries again')
  })
}
