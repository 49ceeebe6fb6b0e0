/** Who is there: leases in a real Redis, on one node and on a cluster. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { SILENT } from '../../../src/log.ts'
import type { RedisBackend } from '../../../src/session/redis/backend.ts'
import { Lease } from '../../../src/session/redis/lease.ts'
import { RedisMembership } from '../../../src/session/redis/membership.ts'
import { fails } from '../../contract/session-store-harness.ts'
import { type RedisServer, skipWithoutRedis, startRedis } from '../../fixtures/servers/redis.ts'
import { startCluster } from '../../fixtures/servers/redis-groups.ts'
import { trackLeaks, watchProcess } from '../../helpers/leaks.ts'
import { backendAt } from '../../helpers/redis-stores.ts'
import { Inbox } from '../../helpers/wait.ts'

const MEMBER = fileURLToPath(new URL('../../fixtures/children/member.ts', import.meta.url))
const UNAVAILABLE = { code: 'session_store_unavailable' }

t.test('a lease is over by the later of two clocks', async t => {
  const lease = new Lease('id', 'token', 1_000)
  t.equal(lease.holds, false, 'it has not begun')
  const now = lease.begin()
  lease.renewed(now)
  t.equal(lease.holds, true)
  lease.renewed({ steady: now.steady, wall: now.wall - 1_001 })
  t.equal(lease.holds, false, 'the machine slept: the steady clock stood still')
  lease.renewed({ steady: now.steady - 1_001, wall: now.wall + 60_000 })
  t.equal(lease.holds, false, 'the other one was set back')
})

interface Where {
  readonly url: string
  readonly servers: readonly RedisServer[]
}

const skip = skipWithoutRedis()
if (skip) t.test('Redis', { skip }, async () => {})
else {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const cluster = await startCluster()
  t.teardown(() => cluster.stop())
  t.test('one node', async t => members(t, { url: redis.url, servers: [redis] }))
  t.test('a cluster', async t => members(t, cluster))
}

function members(t: Test, where: Where): void {
  t.test('a lease is renewed for as long as its process lives, and let go at its end', async t => {
    trackLeaks(t)
    const lease = 1_000
    const [one, other] = [open(t, where, lease), open(t, where, lease)]
    t.equal(one.holds, false)
    await one.start()
    await other.start()
    t.equal(one.holds, true)
    t.match(one.id, /^[\w-]{16}$/)
    t.not(one.id, other.id)
    for (const end = performance.now() + 2.5 * lease; performance.now() < end; await pause(20))
      t.equal(await other.depose(one.id), false)
    const { id } = one
    await one.close()
    t.equal(one.holds, false)
    t.equal(await other.find(id, true), undefined)
    t.equal(await other.depose(id), true)
    t.match(await fails(() => one.confirm()), { code: 'session_store_closed' })
  })

  t.test('who holds something is known to all, for as long as was said', async t => {
    trackLeaks(t)
    const [one, other] = [open(t, where, 5_000), open(t, where, 5_000)]
    await Promise.all([one.start(), other.start()])
    t.equal(await one.holder('one'), undefined)
    await one.hold('one', 60_000)
    await other.hold('two', 60_000)
    t.same(await Promise.all([other.holder('one'), one.holder('one'), one.holder('two')]), [one.id, one.id, other.id])
    await other.hold('one', 50)
    t.equal(await one.holder('one'), other.id, 'the last one')
    while ((await one.holder('one')) !== undefined) await pause(10)
    t.equal(await one.holder('two'), other.id)
  })

  t.test('where it is reached is known, whether it is told early or late', async t => {
    trackLeaks(t)
    const [early, late, asks] = [open(t, where), open(t, where), open(t, where)]
    await early.announce('127.0.0.1:1')
    await early.start()
    t.same(await asks.find(early.id), { address: '127.0.0.1:1' })
    await late.start()
    t.same(await asks.find(late.id, true), { address: undefined })
    await late.announce('127.0.0.1:2')
    t.same(await asks.find(late.id, true), { address: '127.0.0.1:2' })
    await late.announce(undefined)
    t.same(await asks.find(late.id, true), { address: undefined })
    for (const id of ['', '-', 'nobody', 'A'.repeat(16), '{x}'.repeat(8)]) t.equal(await asks.find(id), undefined)
  })

  t.test('who was found is remembered for a moment', async t => {
    trackLeaks(t)
    const [one, asks] = [open(t, where), open(t, where)]
    await one.announce('127.0.0.1:1')
    await one.start()
    const both = [asks.find(one.id), asks.find(one.id)]
    t.equal(both[0], both[1], 'two who ask at once ask once')
    const found = await both[0]
    t.equal(asks.find(one.id), found, 'at once')
    const { id } = one
    await one.close()
    t.equal(asks.find(id), found)
    t.equal(await asks.find(id, true), undefined)
    t.equal(await asks.find(id), undefined, 'who is gone is not remembered to be there')
  })

  t.test('a lease that goes on or one that is ended: of both at once exactly one happens', async t => {
    trackLeaks(t)
    const [other, backend] = [open(t, where), backendOf(t, where)]
    const seen = { lived: 0, gone: 0 }
    for (let round = 0; round < 100; round++) {
      const one = member(t, backend, 60_000)
      const lost: string[] = []
      one.onLost(id => lost.push(id))
      await one.start()
      const { id } = one
      // As if it had run out.
      await backend.do(client => client.set(`catflap:1:@:{${id}}:until`, 1))
      await backend.do(client => client.del(`catflap:1:@:{${id}}`))
      const [now, gone] =
        round % 2 === 0
          ? await Promise.all([one.confirm(), other.depose(id)])
          : await Promise.all(
              [other.depose(id), pause(round % 7).then(() => one.confirm())].reverse() as [
                Promise<string>,
                Promise<boolean>
              ]
            )
      if (gone !== (now !== id))
        return t.fail(`deposed: ${gone}, and goes on as ${now === id ? 'the same' : 'another'}`)
      if (lost.join() !== (gone ? id : '')) return t.fail('who is deposed is told so, once')
      if (!one.holds || one.id !== now) return t.fail('it goes on')
      if (await other.depose(now)) return t.fail('it lives')
      if ((await other.depose(id)) !== gone) return t.fail('what was said of it holds')
      seen[gone ? 'gone' : 'lived']++
      await one.close()
    }
    t.comment(seen)
    t.equal(seen.gone + seen.lived, 100)
  })

  t.test('a process that was killed is gone when its lease has run out, and not before', async t => {
    trackLeaks(t)
    const lease = 4_000
    const watcher = open(t, where)
    const [child, said] = start(t, where, lease)
    const id = String((await said.next()).holds)
    t.equal(await watcher.depose(id), false)
    child.kill('SIGKILL')
    const killedAt = performance.now()
    await once(child, 'exit')
    while (!(await watcher.depose(id))) await pause(10)
    // It may have been renewed two thirds before that.
    t.ok(performance.now() - killedAt >= lease / 2)
    t.equal(await watcher.find(id), undefined)
  })

  t.test(
    'a process that was stopped and deposed finds out before it does anything, and goes on as another one',
    async t => {
      trackLeaks(t)
      const watcher = open(t, where)
      const [child, said] = start(t, where, 1_000)
      const id = String((await said.next()).holds)
      const stopped = stop(child)
      while (!(await watcher.depose(id))) await pause(10)
      child.stdin!.write('confirm\n')
      const slept = stopped()
      t.match(await said.until(line => Number(line.slept) >= slept), { woken: false })
      t.same(await said.until(line => 'lost' in line), { lost: id, holds: false })
      const { confirmed, holds } = await said.until(line => 'confirmed' in line)
      t.equal(holds, true)
      t.not(confirmed, id)
      t.equal(await watcher.depose(String(confirmed)), false)
      t.equal(said.items.findIndex(line => 'lost' in line) < said.items.findIndex(line => 'confirmed' in line), true)
    }
  )

  t.test('a process that was stopped and that nobody missed goes on as it was', async t => {
    trackLeaks(t)
    const watcher = open(t, where)
    const [child, said] = start(t, where, 1_000)
    const id = String((await said.next()).holds)
    const stopped = stop(child)
    while (await watcher.find(id, true)) await pause(10)
    child.stdin!.write('confirm\n')
    const slept = stopped()
    t.match(await said.until(line => Number(line.slept) >= slept), { woken: false })
    t.same(await said.until(line => 'confirmed' in line), { confirmed: id, holds: true })
    t.notOk(said.items.some(line => 'lost' in line))
  })

  t.test('Redis has lost everything: the lease goes on under its name', async t => {
    trackLeaks(t)
    const [one, other] = [open(t, where, 300), open(t, where)]
    await one.announce('127.0.0.1:1')
    await one.start()
    one.onLost(() => t.fail('nothing is lost'))
    const { id } = one
    for (const { port } of where.servers) await call(port, 'FLUSHALL')
    while (!(await other.find(id, true))) await pause(10)
    t.same(await other.find(id), { address: '127.0.0.1:1' })
    t.equal(await one.confirm(), id)
  })

  t.test(
    'a lease that Redis has lost is not one that has run out: who has it is given the time to renew it',
    async t => {
      trackLeaks(t)
      const lease = 2_000
      const [one, other] = [open(t, where), open(t, where, lease)]
      await Promise.all([one.start(), other.start()])
      one.onLost(() => t.fail('nothing is lost'))
      const { id } = one
      for (let round = 0; round < 2; round++) {
        await forget(t, where, `{${id}}`, `{${id}}:until`)
        t.equal(await other.find(id, true), undefined, 'nobody knows where it is')
        const begun = performance.now()
        t.equal(await other.depose(id), false)
        t.equal(await other.depose(id), false)
        t.equal(one.holds, true)
        t.equal(await one.confirm(), id, 'it goes on under its name')
        while (performance.now() - begun < 1.5 * lease) await pause(20)
        t.equal(await other.depose(id), false, 'what was noted of it is forgotten')
      }
    }
  )

  t.test('who does not renew what Redis has lost is gone a lease after that was noticed', async t => {
    trackLeaks(t)
    const lease = 600
    const [one, other, third] = [open(t, where), open(t, where, lease), open(t, where, lease)]
    await Promise.all([one.start(), other.start(), third.start()])
    const { id } = one
    await forget(t, where, `{${id}}`, `{${id}}:until`)
    const begun = performance.now()
    t.equal(await other.depose(id), false)
    while (!(await third.depose(id))) await pause(10)
    // Redis counts whole milliseconds.
    t.ok(performance.now() - begun >= lease - 5, 'whoever asks: all wait for the same')
    t.equal(await other.depose(id), true)
    t.not(await one.confirm(), id, 'it is too late')
  })

  t.test('of a lease that Redis has dropped to make room it is known until when it lasts', async t => {
    trackLeaks(t)
    const [one, other] = [open(t, where, 3_000), open(t, where, 100)]
    await Promise.all([one.start(), other.start()])
    const { id } = one
    await one.confirm()
    await forget(t, where, `{${id}}`)
    const begun = performance.now()
    t.equal(await other.depose(id), false)
    while (performance.now() - begun < 300) {
      const [gone, passed] = [await other.depose(id), performance.now() - begun]
      if (passed < 900) t.equal(gone, false)
      await pause(20)
    }
    t.equal(await one.confirm(), id)
  })

  t.test('while Redis hangs for longer than the lease nothing is held for sure; then it goes on', async t => {
    trackLeaks(t)
    const lease = 300
    const one = open(t, where, lease, 500)
    await one.start()
    const { id } = one
    for (const server of where.servers) server.pause()
    try {
      while (one.holds) await pause(5)
      const begun = performance.now()
      t.match(await fails(() => one.confirm()), UNAVAILABLE)
      t.ok(performance.now() - begun < 3_000)
      t.equal(one.holds, false)
    } finally {
      for (const server of where.servers) server.resume()
    }
    // Nobody asks for it.
    while (!one.holds) await pause(5)
    t.equal(one.id, id)
  })
}

if (!skip)
  t.test('Redis comes later than the process: the lease is taken then', async t => {
    trackLeaks(t)
    const before = await startRedis()
    await before.stop()
    const one = open(t, before, 300, 500)
    await one.announce('127.0.0.1:1')
    await one.start()
    t.equal(one.holds, false)
    t.match(await fails(() => one.confirm()), UNAVAILABLE)
    const redis = await startRedis([], before.port)
    t.teardown(() => redis.stop())
    while (!one.holds) await pause(5)
    t.same(await one.find(one.id), { address: '127.0.0.1:1' })
  })

function backendOf(t: Test, { url }: { readonly url: string }, timeout = 5_000): RedisBackend {
  const backend = backendAt(url, { timeout })
  t.teardown(() => backend.close())
  return backend
}

function member(t: Test, backend: RedisBackend, lease: number): RedisMembership {
  const one = new RedisMembership({ backend, lease, log: SILENT })
  t.teardown(() => one.close())
  return one
}

function open(t: Test, where: { readonly url: string }, lease = 60_000, timeout?: number): RedisMembership {
  return member(t, backendOf(t, where, timeout), lease)
}

/** As if Redis had lost it: keys by how they end. */
async function forget(t: Test, where: Where, ...ends: string[]): Promise<void> {
  const backend = backendOf(t, where)
  for (const end of ends) t.equal(await backend.do(client => client.del(`catflap:1:@:${end}`)), 1)
}

type Line = Readonly<Record<string, unknown>>

function start(t: Test, { url }: Where, lease: number): [ChildProcess, Inbox<Line>] {
  const child = spawn(process.execPath, [MEMBER, url, String(lease)], { stdio: ['pipe', 'pipe', 'inherit'] })
  watchProcess(child.pid!)
  const said = new Inbox<Line>('lines of the child')
  createInterface(child.stdout!).on('line', line => said.push(JSON.parse(line) as Line))
  child.stdin!.on('error', () => {})
  t.teardown(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill('SIGCONT')
    child.stdin!.end()
    await ended
  })
  return [child, said]
}

/** Stopped dead; what is returned lets it go on, and tells for how many ms it has not run at the least. */
function stop(child: ChildProcess): () => number {
  child.kill('SIGSTOP')
  const from = performance.now()
  return () => {
    const slept = performance.now() - from - 20
    child.kill('SIGCONT')
    return slept
  }
}

async function call(port: number, name: string): Promise<void> {
  const client = new Redis(port, '127.0.0.1')
  await client.call(name)
  client.disconnect()
}
