import t from 'tap'
import { ConversationIndex } from '../../src/replay/conversation-index.ts'
import { readRecording } from '../../src/replay/read-recording.ts'
import { down, note, notice, request, requestsOf, result, sseHead, tapeOf, up } from './recording-door.ts'

const META = { 'io.modelcontextprotocol/protocolVersion': '2026-07-28' }
const listen = (id: number): object => request(id, 'subscriptions/listen', { _meta: META })
const subscribed = (id: number): object =>
  notice('notifications/subscriptions/acknowledged', { _meta: { 'io.modelcontextprotocol/subscriptionId': id } })

t.test('events of a subscription wait for what the client did, and not for one that left', async t => {
  const file = tapeOf(t, [
    up('post-1', listen(1)),
    sseHead('post-1'),
    down('post-1', subscribed(1)),
    up('post-2', request(2, 'tools/call', { name: 'a', _meta: META })),
    up('post-3', listen(3)),
    sseHead('post-3'),
    note('disconnect', { stream: 'post-1' }),
    down('post-3', subscribed(3)),
    down('post-2', result(2)),
    down('post-3', notice('notifications/tools/list_changed'))
  ])
  const recording = await readRecording([file])
  t.teardown(() => recording.close())
  const [gone, call, there] = requestsOf(recording.modern)
  t.equal(gone?.cancelled?.how, 'disconnect')
  const index = new ConversationIndex(recording.modern!)
  const [acknowledged, changed] = there!.said
  t.equal(index.momentBefore(acknowledged!.order), there!.order)
  t.equal(index.momentBefore(changed!.order), (call!.outcome as { order: number }).order)
})
