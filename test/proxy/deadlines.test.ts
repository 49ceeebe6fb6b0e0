import t from 'tap'
import { type Deadline, Deadlines } from '../../src/proxy/deadlines.ts'
import { QueueNode } from '../../src/queue.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { Inbox } from '../helpers/wait.ts'

function deadlineOf(expired: () => void): Deadline {
  const deadline: Deadline = { at: 0, expired, place: undefined as unknown as QueueNode<Deadline> }
  return Object.assign(deadline, { place: new QueueNode(deadline) })
}

t.test('one that expires may end others: those behind them expire all the same', async t => {
  trackLeaks(t)
  const deadlines = new Deadlines(5)
  t.teardown(() => deadlines.close())
  const expired = new Inbox<string>('expired')
  const ended = [deadlineOf(() => expired.push('ended')), deadlineOf(() => expired.push('ended'))]
  const first = deadlineOf(() => {
    for (const other of ended) deadlines.end(other)
    expired.push('first')
  })
  for (const one of [first, ...ended, deadlineOf(() => expired.push('last'))]) deadlines.start(one)
  t.same([await expired.next(), await expired.next()], ['first', 'last'])
  t.equal(deadlines.size, 0)
})

t.test('one that starts anew when it expires is due once more', async t => {
  trackLeaks(t)
  const deadlines = new Deadlines(5)
  t.teardown(() => deadlines.close())
  const expired = new Inbox<number>('expired')
  let times = 0
  const again = deadlineOf(() => {
    expired.push(++times)
    if (times < 3) deadlines.start(again)
  })
  deadlines.start(again)
  t.equal(await expired.until(n => n === 3), 3)
})
