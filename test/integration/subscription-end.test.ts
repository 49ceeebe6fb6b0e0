/** When catflap stops, a subscription of revision 2026-07-28 ends as its server would end it, whatever is on either side. */
import t from 'tap'
import { modern, rpc } from '../helpers/rpc.ts'
import { client, sdkDoor } from './http-door.ts'
import { pipeDoor, stdioDoor } from './pipe-door.ts'

const MODERN = ['--era', 'modern']

t.test('a client of the official SDK takes it for a graceful end', async t => {
  for (const open of [
    () => sdkDoor(t, { mode: 'modern' }),
    () => pipeDoor(t, 'stdio-server.ts', { args: MODERN })
  ] as const) {
    const { url, door } = await open()
    const c = await client(t, url, { era: 'modern' })
    const subscription = await c.client.listen({ toolsListChanged: true })
    await door.close()
    t.equal(await subscription.closed, 'graceful')
  }
})

t.test('on a pipe the result is the last thing said', async t => {
  const { door, lines, send, nextMessage } = await stdioDoor(t, 'stdio-server.ts', { args: MODERN })
  send(modern(rpc('sub', 'subscriptions/listen', { notifications: { toolsListChanged: true } })))
  t.match(await nextMessage(), { method: 'notifications/subscriptions/acknowledged' })
  await door.close()
  t.same(
    lines.items.slice(1).map(line => JSON.parse(line)),
    [
      {
        jsonrpc: '2.0',
        id: 'sub',
        result: { resultType: 'complete', _meta: { 'io.modelcontextprotocol/subscriptionId': 'sub' } }
      }
    ]
  )
})
