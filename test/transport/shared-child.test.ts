/** A command that many modern clients share: what it is, its life, and what belongs to whom. */
import t from 'tap'
import type { Verdict } from '../../src/transport/upstream/shared-child-probe.ts'
import { fixtureArgv } from '../helpers/stdio-peer.ts'
import { line, order, sharedPeer } from './shared-child-peer.ts'

const PUPPET = fixtureArgv('puppet-stdio.ts')
const modern = { era: 'modern' } as const
const log = (data: string): string => line({ method: 'notifications/message', params: { level: 'info', data } })

/** A child of one line of code. */
const script = (code: string): [string, ...string[]] => [process.execPath, '-e', code]

for (const era of ['modern', 'dual'])
  t.test(`a ${era} server is found to be modern, and is not asked twice`, async t => {
    const { shared, log, starts } = sharedPeer(t, fixtureArgv('stdio-server.ts', '--era', era))
    const verdicts = await Promise.all([shared.ready(), shared.ready(), shared.ready()])
    for (const verdict of verdicts) t.match(verdict, { era: 'modern' })
    t.ok((verdicts[0] as Verdict & { era: 'modern' }).versions?.includes('2026-07-28'))
    t.notOk(shared.ready() instanceof Promise, 'from now on it is known at once')
    t.equal(starts.length, 1, 'one child for all')
    t.equal(log.items.filter(l => l.startsWith('own ')).length, 1)
  })

t.test('a server that answers with another error is legacy: its child ends, its error is kept', async t => {
  const { shared, log, starts } = sharedPeer(t, fixtureArgv('stdio-server.ts', '--era', 'legacy'))
  const verdict = await shared.ready()
  t.match(verdict, { era: 'legacy', vague: false })
  t.equal((verdict as Verdict & { era: 'legacy' }).error?.isError, true)
  await log.until(l => l.startsWith('lost 1'))
  t.equal(shared.ready(), verdict)
  t.equal(starts.length, 1)
})

t.test('one of the errors that only modern servers have is an answer of a modern server', async t => {
  const error = { code: -32022, message: 'no', data: { supported: ['2027-01-01'], requested: '2026-07-28' } }
  const code = `process.stdin.on('data', d => console.log(JSON.stringify({jsonrpc:'2.0', id: JSON.parse(d).id, error: ${JSON.stringify(error)}})))`
  const { shared } = sharedPeer(t, script(code))
  t.same(await shared.ready(), { era: 'modern', versions: ['2027-01-01'] })
})

for (const [what, argv] of Object.entries({
  'says nothing': fixtureArgv('raw-stdio.ts', '--mute'),
  'ends at it': fixtureArgv('raw-stdio.ts', '--die-on', 'server/discover')
}))
  t.test(`a server that ${what} is taken for legacy, and not asked again at once`, async t => {
    const { shared, starts } = sharedPeer(t, argv, { probeTimeout: what === 'says nothing' ? 50 : 10_000 })
    const verdict = await shared.ready()
    t.match(verdict, { era: 'legacy', error: undefined, vague: true })
    t.match((verdict as Verdict & { era: 'legacy' }).reason, what === 'ends at it' ? /code 3.*fatal/ : /within/)
    t.equal(shared.ready(), verdict)
    t.equal(starts.length, 1)
  })

t.test('an answer that is no DiscoverResult is none of a modern server', async t => {
  const { shared } = sharedPeer(t, PUPPET)
  t.match(await shared.ready(), { era: 'legacy', error: undefined, vague: false })
})

t.test('a command that cannot be started says nothing about the server', async t => {
  const { shared, starts } = sharedPeer(t, ['/nonexistent/command'])
  await t.rejects(Promise.resolve(shared.ready()), { code: 'child_start_failed' })
  await t.rejects(Promise.resolve(shared.ready()), { code: 'child_start_failed' })
  t.equal(starts.length, 2, 'each asks anew')
})

t.test('what the user has said is not asked', async t => {
  const { shared, starts } = sharedPeer(t, PUPPET, { era: 'legacy' })
  t.match(shared.ready(), { era: 'legacy' })
  t.equal(starts.length, 0)
  const other = sharedPeer(t, PUPPET, modern)
  t.match(await other.shared.ready(), { era: 'modern', versions: undefined })
  await other.log.until(l => l.startsWith('pid'))
  t.notOk(other.log.items.some(l => l.startsWith('seen')))
})

t.test('a child that dies fails its calls; the next request starts another, which is not probed', async t => {
  const { shared, log, starts, call } = sharedPeer(t, PUPPET, modern)
  await shared.ready()
  const leg = shared.leg('a')
  const waiting = call(leg, order(1, { answer: false }))
  const fatal = call(leg, order(2, { answer: false, exit: 3 }))
  t.equal(await waiting.log.next(), 'error child_exited')
  t.equal(await fatal.log.next(), 'error child_exited')
  await log.until(l => l.startsWith('lost 0'))
  t.equal(await call(leg, order(3)).log.next(), 'error child_exited', 'without asking whether it is ready')
  await shared.ready()
  t.match(await call(leg, order(4)).log.next(), /^last .*"id":4/)
  t.equal(starts.length, 2)
  t.notOk(log.items.some(l => l.includes('server/discover')))
})

t.test('a child that ends at once is started later each time', async t => {
  const { shared, log, starts } = sharedPeer(t, script(''), { ...modern, restartDelay: 40 })
  for (let i = 1; i <= 4; i++) {
    await shared.ready()
    await log.until(() => log.items.filter(l => l.startsWith('lost')).length === i)
  }
  const waits = starts.slice(1).map((at, i) => at - starts[i]!)
  for (const [i, least] of [40, 80, 160].entries()) t.ok(waits[i]! >= least - 2, `wait ${i}: ${waits[i]}`)
})

t.test('however often it ended, nobody waits for longer than a second', async t => {
  const { shared, log, starts } = sharedPeer(t, script(''), { ...modern, restartDelay: 1_000_000 })
  await shared.ready()
  await log.until(l => l.startsWith('lost'))
  await shared.ready()
  const wait = starts[1]! - starts[0]!
  t.ok(wait >= 998 && wait < 8_000, `${wait}`)
})

t.test('a server that fails again and again is asked anew what it is', async t => {
  const answer = `JSON.stringify({jsonrpc:'2.0', id: JSON.parse(d).id, result: {supportedVersions: ['2026-07-28']}})`
  const code = `process.stdin.once('data', d => process.stdout.write(${answer} + '\\n', () => process.exit(1)))`
  const { shared, log, call } = sharedPeer(t, script(code))
  const probes = (): number => log.items.filter(l => l.includes('server/discover')).length
  await shared.ready()
  for (let i = 1; i <= 3; i++) {
    await log.until(() => log.items.filter(l => l.startsWith('lost')).length === i)
    t.equal(probes(), 1, `after ${i}`)
    await shared.ready()
    // It exits at whatever it reads; after the third time that is the question.
    if (i < 3) call(shared.leg('a'), order(i))
  }
  t.equal(probes(), 2)
})

t.test('what names no call belongs to nobody; a request of the server is refused', async t => {
  const { shared, log, call } = sharedPeer(t, PUPPET, modern)
  await shared.ready()
  const ask = line({ id: 7, method: 'sampling/createMessage', params: {} })
  const heard = call(shared.leg('a'), order(1, { write: ask })).log
  t.match(await heard.next(), /^last/)
  const said = await log.until(l => l.startsWith('seen') && l.includes('-32601'))
  t.match(JSON.parse(said.slice(5)), { id: 7, error: { code: -32601 } })
  const told = call(shared.leg('a'), order(2, { write: line({ method: 'notifications/message', params: {} }) })).log
  t.match(await told.next(), /^last/)
  t.match(await log.until(l => l.startsWith('unowned')), 'notifications/message')
})

t.test('equal ids, tokens and subscription ids of several clients are told apart', async t => {
  const { shared, log, call } = sharedPeer(t, PUPPET, modern)
  await shared.ready()
  const meta = { _meta: { progressToken: 'p' } }
  const [a, b] = ['a', 'b'].map(client => call(shared.leg(client), order(1, { answer: false, client, ...meta })))
  const seen = await log.until(l => l.startsWith('seen') && l.includes('"client":"b"'))
  const wire = JSON.parse(seen.slice(5)) as { id: number; params: { _meta: { progressToken: string } } }
  t.not(wire.id, 1)
  const { progressToken } = wire.params._meta
  const subscription = { 'io.modelcontextprotocol/subscriptionId': wire.id }
  const write =
    line({ method: 'notifications/progress', params: { progressToken, progress: 1 } }) +
    line({ method: 'notifications/tools/list_changed', params: { _meta: subscription } }) +
    line({ id: wire.id, result: { _meta: subscription } })
  call(shared.leg('c'), order(9, { write }))
  t.match(JSON.parse((await b!.log.next()).slice(8)), { params: { progressToken: 'p' } })
  t.match(JSON.parse((await b!.log.next()).slice(8)), {
    params: { _meta: { 'io.modelcontextprotocol/subscriptionId': 1 } }
  })
  t.match(JSON.parse((await b!.log.next()).slice(5)), { id: 1 })
  t.equal(a!.log.items.length, 0)
  a!.handle.cancel('client-gone')
  const cancelled = await log.until(l => l.startsWith('seen') && l.includes('notifications/cancelled'))
  t.match(JSON.parse(cancelled.slice(5)), { params: { requestId: 1 } })
})

t.test('closing ends whatever is under way: a probe, a wait, children', async t => {
  const probing = sharedPeer(t, fixtureArgv('raw-stdio.ts', '--mute'))
  const verdict = Promise.resolve(probing.shared.ready())
  await probing.log.until(l => l.startsWith('own'))
  await Promise.all([t.rejects(verdict, { code: 'shutting_down' }), probing.shared.close()])
  await t.rejects(Promise.resolve(probing.shared.ready()), { code: 'shutting_down' }, 'and nothing begins any more')

  const waiting = sharedPeer(t, script(''), { ...modern, restartDelay: 1_000_000 })
  await waiting.shared.ready()
  await waiting.log.until(l => l.startsWith('lost'))
  const never = Promise.resolve(waiting.shared.ready())
  await Promise.all([t.rejects(never, { code: 'shutting_down' }), waiting.shared.close()])
  t.equal(waiting.starts.length, 1)
})

t.test('a list of tools that does not come is waited for once, and not by each call', async t => {
  const { shared, log } = sharedPeer(t, fixtureArgv('raw-stdio.ts', '--mute'), { ...modern, listTimeout: 50 })
  await shared.ready()
  t.ok(shared.tools.askable)
  await Promise.all([shared.refreshTools(), shared.refreshTools()])
  t.notOk(shared.tools.askable)
  t.equal(log.items.filter(l => l.startsWith('own') && l.includes('tools/list')).length, 1)
  await log.until(l => l.startsWith('own') && l.includes('notifications/cancelled'))
})

t.test('logs reach the call that has a child alone, and nobody else', async t => {
  const { shared, log: told, call } = sharedPeer(t, PUPPET, modern)
  await shared.ready()
  const a = call(shared.exclusive(), order(1, { write: log('for a'), answer: false }))
  const b = call(shared.exclusive(), order(1, { write: log('for b') }))
  const shareds = call(shared.leg('c'), order(1))
  t.match(await a.log.next(), 'for a')
  t.match(await b.log.next(), 'for b')
  t.match(await b.log.next(), /^last .*"id":1/)
  t.match(await shareds.log.next(), /^last/)
  t.equal(a.log.items.length, 1)
  t.equal(new Set(told.items.filter(l => l.startsWith('pid'))).size, 3)
})

t.test('each call has a child that nobody had before; one waits for the next call, and ends after a while', async t => {
  const { shared, log, starts, call } = sharedPeer(t, PUPPET, { ...modern, exclusiveIdle: 2000 })
  const pids = (): string[] => log.items.filter(l => l.startsWith('pid'))
  for (let id = 1; id <= 3; id++) {
    t.match(await call(shared.exclusive(), order(id)).log.next(), /^last/)
    t.equal(starts.length, id + 1, 'one more is started as soon as the answer is there')
    await log.until(() => pids().length === id + 1)
  }
  const seen = log.items.filter(l => l.startsWith('seen'))
  t.equal(seen.length, 3)
  await log.until(() => log.items.filter(l => l.startsWith('lost 1')).length === 4, { what: 'the end of all four' })
  t.match(await call(shared.exclusive(), order(4)).log.next(), /^last/)
})

t.test('what one call still logs behind its answer is not heard by the next', async t => {
  const { shared, log: told, call } = sharedPeer(t, PUPPET, { ...modern, maxExclusive: 1 })
  const answer = JSON.stringify({ jsonrpc: '2.0', id: 1, result: {} })
  const write = `${answer}\n`
  const first = call(shared.exclusive(), order(1, { write, answer: log('SECRET').trim() }))
  await first.log.until(l => l === 'end')
  const second = call(shared.exclusive(), order(2))
  await second.log.until(l => l === 'end')
  t.notOk(second.log.items.some(l => l.includes('SECRET')))
  t.ok(told.items.some(l => l.startsWith('unowned') && l.includes('SECRET')))
})

t.test('what a child logs behind its answer is for nobody', async t => {
  const { shared, log: told, call } = sharedPeer(t, PUPPET, modern)
  const after = `${JSON.stringify({ jsonrpc: '2.0', id: 1, result: {} })}\n${log('too late').trim()}`
  const heard = call(shared.exclusive(), order(1, { answer: after })).log
  await heard.until(l => l === 'end')
  await told.until(l => l.startsWith('unowned') && l.includes('too late'))
  t.equal(heard.items.length, 2)
})

t.test('a cancelled call takes its child with it', async t => {
  const { shared, log, starts, call } = sharedPeer(t, PUPPET, modern)
  const { handle } = call(shared.exclusive(), order(1, { answer: false }))
  await log.until(l => l.startsWith('seen'))
  handle.cancel('client-gone')
  await log.until(l => l.startsWith('lost 1'))
  const next = call(shared.exclusive(), order(2))
  t.equal(starts.length, 2)
  t.match(await next.log.next(), /^last/)
})

t.test('there are so many and no more; one that is ending is waited for', async t => {
  const { shared, log, call, starts } = sharedPeer(t, PUPPET, { ...modern, maxExclusive: 2 })
  const busy = call(shared.exclusive(), order(1, { answer: false }))
  const other = call(shared.exclusive(), order(2, { answer: false }))
  t.equal(await call(shared.exclusive(), order(3)).log.next(), 'error upstream_queue_full')
  other.handle.cancel('client-gone')
  const waiting = call(shared.exclusive(), order(4))
  t.equal(await call(shared.exclusive(), order(5)).log.next(), 'error upstream_queue_full', 'one place, one that waits')
  t.match(await waiting.log.next(), /^last .*"id":4/)
  t.equal(busy.log.items.length, 0)
  t.equal(starts.length, 3)
  const left = call(shared.exclusive(), order(6))
  left.handle.cancel('client-gone')
  busy.handle.cancel('client-gone')
  await log.until(() => log.items.filter(l => l.startsWith('lost 1')).length >= 3)
  t.match(await call(shared.exclusive(), order(7)).log.next(), /^last/, 'who left while waiting takes no place')
})

t.test('one call after the other is never refused', async t => {
  const { shared, call } = sharedPeer(t, PUPPET, { ...modern, maxExclusive: 1 })
  for (let id = 1; id <= 4; id++) t.match(await call(shared.exclusive(), order(id)).log.next(), /^last/)
})

t.test('children for one call are not started faster than the shared one, where they end at once', async t => {
  const { shared, log, starts, call } = sharedPeer(t, script(''), { ...modern, restartDelay: 300 })
  t.equal(await call(shared.exclusive(), order(1)).log.next(), 'error child_exited')
  t.equal(starts.length, 1, 'none is started for nobody')
  const [a, gone] = [2, 3].map(id => call(shared.exclusive(), order(id)))
  gone!.handle.cancel('client-gone')
  t.equal(await a!.log.next(), 'error child_exited')
  t.ok(starts[1]! - starts[0]! >= 298, `${starts[1]! - starts[0]!}`)
  t.equal(starts.length, 2, 'who left meanwhile has none')
  await shared.ready()
  t.ok(starts[2]! - starts[1]! >= 598, 'it is one delay for all')
  await log.until(() => log.items.filter(l => l.startsWith('lost 0')).length === 3)
  const never = call(shared.exclusive(), order(4))
  await Promise.all([never.log.until(l => l === 'error shutting_down'), shared.close()])
  t.equal(starts.length, 3)
})

t.test('a child that dies fails its call alone', async t => {
  const { shared, call } = sharedPeer(t, PUPPET, modern)
  await shared.ready()
  const other = call(shared.leg('b'), order(1, { answer: false }))
  t.equal(await call(shared.exclusive(), order(1, { answer: false, exit: 1 })).log.next(), 'error child_exited')
  t.match(await call(shared.leg('b'), order(2)).log.next(), /^last/)
  t.equal(other.log.items.length, 0)
})
