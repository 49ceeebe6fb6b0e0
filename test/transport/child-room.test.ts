import t from 'tap'
import { ChildRoom } from '../../src/transport/upstream/child-room.ts'

function room(max: number, idle: { ending: boolean }[] = []) {
  const children = new Set<{ ending: boolean }>(idle)
  const unused = (): boolean => {
    const one = idle.pop()
    if (one) one.ending = true
    return one !== undefined
  }
  const r = new ChildRoom(max, children, { unused, session: () => false })
  const start = (): { ending: boolean } => {
    const child = { ending: false }
    r.taken()
    children.add(child)
    return child
  }
  const gone = (child: { ending: boolean }): void => {
    children.delete(child)
    r.freed()
  }
  return { r, start, gone }
}

t.test('so many and no more, also where several come at once', async t => {
  const { r, start, gone } = room(2)
  await Promise.all([r.take(), r.take()])
  await t.rejects(r.take(), { code: 'too_many_children' })
  const child = start()
  start()
  t.equal(r.left, 0)
  await t.rejects(r.take(), { code: 'too_many_children' })
  gone(child)
  await r.take()
  t.equal(r.left, 0)
})

t.test('one that nobody uses makes room, for one', async t => {
  const idle = { ending: false }
  const { r, gone, start } = room(1, [idle])
  const taken = r.take()
  t.ok(idle.ending)
  await t.rejects(r.take(), { code: 'too_many_children' })
  gone(idle)
  await taken
  start()
  t.equal(r.left, 0)
})

t.test('one that is ending is waited for, unless everything ends', async t => {
  const ending = { ending: true }
  const { r } = room(1, [])
  await r.take()
  const busy = room(1, [ending])
  const waiting = busy.r.take()
  busy.r.close()
  await t.rejects(waiting, { code: 'shutting_down' })
  await t.rejects(busy.r.take(), { code: 'shutting_down' })
})

t.test('room that nobody waits for is told of', async t => {
  const { r, start, gone } = room(1)
  let told = 0
  r.onRoom = () => told++
  await r.take()
  const ending = start()
  ending.ending = true
  const taken = r.take()
  gone(ending)
  await taken
  t.equal(told, 0)
  gone(start())
  t.equal(told, 1)
})

t.test('who waits no longer takes no room', async t => {
  const { r, start, gone } = room(1)
  await r.take()
  const ending = start()
  ending.ending = true
  const late = new AbortController()
  const taken = r.take(late.signal)
  late.abort()
  await t.rejects(taken, { code: 'too_many_children' })
  gone(ending)
  t.equal(r.left, 1)
})
