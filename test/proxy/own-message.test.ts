/** What catflap says to a server on its own account. */
import t from 'tap'
import { Message } from '../../src/protocol/message.ts'
import { sendCancelled, sendOwn } from '../../src/proxy/own-message.ts'
import type { CallInput, Leg } from '../../src/transport/upstream.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { initialize, rpc } from '../helpers/rpc.ts'

/** A leg that has answered before `call` returns. */
function promptLeg() {
  const said: CallInput[] = []
  const leg: Leg = {
    upstreamId: undefined,
    call(input, receiver) {
      said.push(input)
      receiver.onEnd()
      return { pause() {}, resume() {}, cancel: () => t.fail('it has ended') }
    },
    close: async () => {}
  }
  return { leg, said }
}

const headers = ['accept', 'text/event-stream', 'Last-Event-ID', '7', 'Authorization', 'Bearer x']

t.test('a server that answers at once leaves nothing behind', async t => {
  trackLeaks(t)
  const { leg, said } = promptLeg()
  sendOwn(leg, { era: 'legacy', headers, query: '?a' }, Message.from({ jsonrpc: '2.0', method: 'x' }))
  const expected = ['accept', 'application/json, text/event-stream', 'Authorization', 'Bearer x']
  t.same(said[0]?.headers, [...expected, 'Content-Type', 'application/json'])
  t.match(said[0], { kind: 'notify', era: 'legacy', query: '?a', body: Buffer.from('{"jsonrpc":"2.0","method":"x"}') })
})

t.test('a cancellation names the call, and initialize is never cancelled', async t => {
  const { leg, said } = promptLeg()
  const input = (m: object): CallInput => ({
    kind: 'request',
    era: 'legacy',
    message: Message.from(m),
    batch: undefined,
    body: undefined,
    headers
  })
  sendCancelled(leg, input(rpc('a', 'x')), 'timed out')
  sendCancelled(leg, input(initialize(1)), 'timed out')
  t.same(
    said.map(i => i.message?.json),
    [{ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 'a', reason: 'timed out' } }]
  )
})
