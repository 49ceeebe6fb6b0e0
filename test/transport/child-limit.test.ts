/** Several commands within one limit. */
import fc from 'fast-check'
import t from 'tap'
import { ChildLimit } from '../../src/transport/upstream/child-limit.ts'
import { ChildRoom } from '../../src/transport/upstream/child-room.ts'

interface Child {
  ending: boolean
  /** Nobody uses it. */
  idle: boolean
}

function commands(max: number, count: number) {
  const limit = new ChildLimit(max)
  const given: string[] = []
  const rooms = Array.from({ length: count }, (_, i) => {
    const children = new Set<Child>()
    const end = (idle: boolean, what: string): boolean => {
      for (const child of children) {
        if (child.ending || child.idle !== idle) continue
        child.ending = true
        given.push(`${what} of ${i}`)
        return true
      }
      return false
    }
    const room = new ChildRoom(limit, children, {
      unused: () => end(true, 'child'),
      session: () => end(false, 'session')
    })
    const start = (idle = false): Child => {
      const child = { ending: false, idle }
      room.taken()
      children.add(child)
      return child
    }
    const gone = (child: Child): void => {
      children.delete(child)
      room.freed()
    }
    return { room, children, start, gone }
  })
  return { limit, rooms: rooms as [(typeof rooms)[number], (typeof rooms)[number]], given }
}

t.test('what no client notices goes first, then sessions; of each what is oldest', async t => {
  const { limit, rooms, given } = commands(4, 2)
  const [before, now] = rooms
  for (const idle of [false, true]) for (const { room, start } of rooms) await room.take().then(() => start(idle))
  const waits = Array.from({ length: 4 }, () => now.room.take())
  t.same(given, ['child of 0', 'child of 1', 'session of 0', 'session of 1'])
  await t.rejects(now.room.take(), { code: 'too_many_children' })
  for (const child of before.children) before.gone(child)
  await Promise.all(waits.slice(0, 2))
  t.equal(limit.left, 0)
  for (const child of now.children) now.gone(child)
  await Promise.all(waits)
})

t.test('who asks for another child keeps its own unused ones', async t => {
  const { rooms, given } = commands(2, 2)
  for (const { room, start } of rooms) await room.take().then(() => start(true))
  t.ok(rooms[1].room.makeRoom())
  t.notOk(rooms[1].room.makeRoom())
  t.same(given, ['child of 0'])
})

t.test('room that is free is told of to all, as long as there is some', async t => {
  const { rooms } = commands(1, 2)
  const told: number[] = []
  for (const [i, { room, start }] of rooms.entries()) {
    room.onRoom = () => {
      told.push(i)
      if (i === 1) start()
    }
  }
  await rooms[0].room.take()
  rooms[0].gone(rooms[0].start())
  t.same(told, [0, 1])
  rooms[0].room.freed()
  t.same(told, [0, 1])
})

t.test('it is done with when all commands are closed and their children gone', async t => {
  const { limit, rooms } = commands(2, 2)
  const [before, now] = rooms
  await before.room.take()
  const child = before.start()
  before.room.close()
  now.room.close()
  t.notOk(limit.unused)
  t.equal(limit.left, 1)
  before.gone(child)
  t.ok(limit.unused)
  t.equal(limit.left, 2)
})

t.test(
  'what has been given up for one who waits is not seen to end at once: the next one gives up no more for it',
  async t => {
    const children = new Set(Array.from({ length: 5 }, () => ({ ending: false })))
    let given = 0
    const giveUp = { unused: () => false, session: () => ++given > 0 }
    const limit = new ChildLimit(5)
    const room = new ChildRoom(limit, children, giveUp)
    const waits = [room.take(), room.take()]
    t.equal(given, 2)
    for (const child of [...children].slice(0, 2)) children.delete(child)
    room.freed()
    await Promise.all(waits)
    for (let n = 0; n < 2; n++) room.taken()
    limit.max = 2
    given = 0
    const more = [room.take(), room.take()]
    t.equal(given, 3, 'two so that there is room for one, and one for the other')
    children.clear()
    room.freed()
    await Promise.all(more)
  }
)

interface Op {
  readonly op: 'take' | 'use' | 'gone' | 'max'
  readonly at: 0 | 1
  readonly idle: boolean
  readonly max: number
}

const OPS: fc.Arbitrary<Op[]> = fc.array(
  fc.record({
    op: fc.constantFrom('take', 'take', 'use', 'gone', 'max'),
    at: fc.constantFrom(0, 1),
    idle: fc.boolean(),
    max: fc.integer({ min: 1, max: 4 })
  }),
  { maxLength: 40 }
)

t.test('whatever happens, none is started beyond the limit, and nobody waits where there is room', async t => {
  const run = async (ops: readonly Op[]): Promise<void> => {
    const { limit, rooms } = commands(2, 2)
    const living = (): number => rooms.reduce((n, { children }) => n + children.size, 0)
    let waiting = 0
    const take = async (at: 0 | 1, idle: boolean): Promise<void> => {
      waiting++
      const { room, start } = rooms[at]
      await room.take().then(
        () => {
          start(idle)
          if (living() > limit.max) throw new Error(`${living()} of ${limit.max}`)
        },
        () => {
          const spare = rooms.some(({ children }) => [...children].some(child => !child.ending))
          if (spare) throw new Error('refused, though there was something to give up')
        }
      )
      waiting--
    }
    const turns: Promise<void>[] = []
    const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))
    for (const { op, at, idle, max } of ops) {
      if (op === 'take') turns.push(take(at, idle))
      else if (op === 'max') limit.max = max
      else {
        const { children, gone } = rooms[at]
        const [child] = children
        if (child && op === 'gone') gone(child)
        else if (child) child.idle = false
      }
      await turn()
      if (limit.left > 0 && waiting > 0) throw new Error(`${waiting} wait, and ${limit.left} could start`)
    }
    while (living() > 0) {
      for (const { children, gone } of rooms) for (const child of children) gone(child)
      await turn()
    }
    await Promise.all(turns)
  }
  await fc.assert(fc.asyncProperty(OPS, run), { numRuns: 200 })
  t.pass('it holds')
})
