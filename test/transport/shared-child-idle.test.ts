/** Children that nobody uses make room, and go by themselves after a while. */
import t from 'tap'
import { CatflapError } from '../../src/errors.ts'
import { ChildRoom } from '../../src/transport/upstream/child-room.ts'
import { Starts } from '../../src/transport/upstream/starts.ts'
import { fixtureArgv } from '../helpers/stdio-peer.ts'
import { order, sharedPeer } from './shared-child-peer.ts'

const PUPPET = fixtureArgv('puppet-stdio.ts')
const modern = { era: 'modern' } as const

t.test('the one that waits for a request with logs goes first, then the shared one; one in use stays', async t => {
  const { shared, log, call } = sharedPeer(t, PUPPET, modern)
  t.notOk(shared.giveUpIdle(), 'there is none')
  await shared.ready()
  await call(shared.exclusive(), order(1)).log.until(l => l === 'end')
  const ended = (): number => log.items.filter(l => l.startsWith('lost 1')).length
  await log.until(() => ended() === 1)
  t.ok(shared.giveUpIdle(), 'the spare')
  await log.until(() => ended() === 2)
  const held = call(shared.leg('a'), order(2, { answer: false }))
  await log.until(l => l.startsWith('seen') && l.includes('"id":2'))
  t.notOk(shared.giveUpIdle(), 'somebody waits for it')
  held.handle.cancel('client-gone')
  t.ok(shared.giveUpIdle())
  await log.until(() => ended() === 3)
  t.notOk(shared.giveUpIdle())
  await shared.ready()
  t.match(await call(shared.leg('a'), order(3)).log.next(), /^last/, 'and comes back')
})

t.test('use puts its end off', async t => {
  const { shared, log, call, starts } = sharedPeer(t, PUPPET, { ...modern, idle: 400 })
  await shared.ready()
  const held = call(shared.leg('a'), order(1, { write: '{"jsonrpc":"2.0","method":"n"}\n', every: 100, times: 9 }))
  t.match(await held.log.until(l => l.startsWith('last')), '"id":1', 'a call that takes longer is no idleness')
  await log.until(l => l.startsWith('lost 1'))
  t.equal(starts.length, 1)
})

t.test('where no child may be started, calls are told why', async t => {
  const children = new Set([{ ending: false }])
  const { shared, starts } = sharedPeer(t, PUPPET, {
    ...modern,
    room: new ChildRoom(1, children, { unused: () => false, session: () => false })
  })
  await t.rejects(Promise.resolve(shared.ready()), { code: 'too_many_children' })
  t.equal(starts.length, 0)
  children.clear()
  await shared.ready()
  t.equal(starts.length, 1)
})

t.test('a command that is parked is not started, for nobody', async t => {
  const parked = new Starts('peer')
  for (let n = 0; n < 5; n++) parked.failed(performance.now() + n + 1e6, new CatflapError('child_exited'))
  const { shared, call, starts } = sharedPeer(t, PUPPET, { ...modern, starts: parked })
  await t.rejects(Promise.resolve(shared.ready()), { code: 'command_parked' })
  t.equal(await call(shared.exclusive(), order(1)).log.next(), 'error command_parked')
  t.equal(starts.length, 0)
})
