/** What is written down of a real server, and when: to the letter, without any server. */
import t from 'tap'
import { Message } from '../../src/protocol/message.ts'
import { LiveTape } from '../../src/replay/live-tape.ts'
import type { Frame } from '../../src/tape/frame.ts'
import { notification, rpc, toolCall } from '../helpers/rpc.ts'
import { Inbox } from '../helpers/wait.ts'

const MIB = 1024 * 1024
const call = (id: number): Message => Message.from(toolCall(id, `tool ${id}`))
const answer = (id: number, result: object = {}): Message => Message.from({ jsonrpc: '2.0', id, result })

function tape(): { tape: LiveTape; written: Inbox<string>; notes: string[] } {
  const written = new Inbox<string>('what is written')
  const notes: string[] = []
  let streams = 0
  const append = ({ kind, dir, own, bytes, note }: Frame): void => {
    const { id, method } = bytes ? JSON.parse(bytes.toString()) : { id: note, method: undefined }
    if (kind === 'message' || kind === 'note')
      written.push([dir, method ?? 'answer', id, own].filter(Boolean).join(' '))
  }
  const appender = { append, stream: (kind: string): string => `${kind}-${++streams}` }
  return { tape: new LiveTape(appender, text => void notes.push(text)), written, notes }
}

t.test('a session that is begun again is written with the first call that is kept', async t => {
  const { tape: live, written } = tape()
  const begun = live.call(Message.from(rpc(1, 'initialize')), { modern: false, own: true })
  live.told(Message.from(notification('notifications/initialized')))
  begun.answered(answer(1))
  live.call(call(2), { modern: false }).failed()
  t.same(written.items, [])
  live.call(call(3), { modern: false }).answered(answer(3))
  t.same(written.items, [
    'up initialize 1 true',
    'up notifications/initialized',
    'down answer 1',
    'up tools/call 3',
    'down answer 3'
  ])
  live.close()
})

t.test('what was answered is not held up by what is not, for long', async t => {
  const { tape: live, written } = tape()
  const slow = live.call(call(1), { modern: false })
  live.call(call(2), { modern: false }).answered(answer(2))
  t.same(written.items, [], 'in case that it comes, in its order')
  t.equal(await written.next(), 'up tools/call 2')
  t.equal(await written.next(), 'down answer 2')
  slow.answered(answer(1))
  t.same(written.items.slice(2), ['up tools/call 1', 'down answer 1'])
  live.close()
})

t.test('a call that is given up is kept with that; one that is open at the end is not', async t => {
  const { tape: live, written } = tape()
  const cancel = Message.from(notification('notifications/cancelled', { requestId: 1 }))
  const given = live.call(call(1), { modern: false })
  given.cancelled(cancel)
  given.failed()
  const left = live.call(call(2), { modern: true })
  left.left()
  live.call(call(3), { modern: false })
  live.close()
  t.same(written.items, ['up tools/call 1', 'up notifications/cancelled', 'up tools/call 2', 'up answer disconnect'])
})

t.test('memory is bounded: what waits for an answer, and answers', async t => {
  const { tape: live, written, notes } = tape()
  const long = Message.from(notification('notifications/message', { data: 'x'.repeat(3 * MIB) }))
  const talks = live.call(call(1), { modern: false })
  for (let i = 0; i < 3; i++) talks.said(long)
  t.match(notes, [/^what came before an answer is too long/])
  talks.answered(answer(1))
  live.call(call(2), { modern: false }).answered(answer(2, { long: 'x'.repeat(25 * MIB) }))
  t.match(notes, [/^what/, /^an answer is too long/])
  live.call(call(3), { modern: false }).answered(answer(3, { long: 'x'.repeat(9 * MIB) }))
  t.same(written.items, ['up tools/call 3', 'down answer 3'])
  live.close()
})
