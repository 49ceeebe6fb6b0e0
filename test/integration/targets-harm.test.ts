/** One server that is killed, hangs or floods does not harm what goes to the others: with real processes, under load. */
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { trackLeaks } from '../helpers/leaks.ts'
import { openSse, type RawResponse, rawPost } from '../helpers/raw-client.ts'
import { initialize, legacyHeaders, modern, modernHeaders, toolCall } from '../helpers/rpc.ts'
import { type StdioPeer, spawnPeer } from '../helpers/stdio-peer.ts'
import { within } from '../helpers/wait.ts'
import { type GroupDoor, groupDoor } from './group-door.ts'

const SERVER = fileURLToPath(new URL('../fixtures/children/mcp-http.mjs', import.meta.url))

interface Child extends StdioPeer {
  readonly url: string
}

async function child(t: Test, name: string, port = '0'): Promise<Child> {
  const peer = spawnPeer([process.execPath, SERVER, name, port])
  t.teardown(async () => {
    peer.proc.kill('SIGKILL')
    await peer.exit
  })
  return { ...peer, url: await peer.stdout.next() }
}

const textOf = (answer: RawResponse): string =>
  (answer.json() as { result: { content: { text: string }[] } }).result.content[0]!.text

interface Load {
  readonly statuses: number[]
  readonly times: number[]
}

/** Calls from so many clients, each one after the other, until `stop` says so. */
async function load(door: GroupDoor, clients: number, stop: (made: number) => boolean): Promise<Load> {
  const statuses: number[] = []
  const times: number[] = []
  let made = 0
  const one = async (): Promise<void> => {
    while (!stop(made)) {
      const startedAt = performance.now()
      const answer = await door.call(++made)
      times.push(performance.now() - startedAt)
      statuses.push(answer.status)
    }
  }
  await Promise.all(Array.from({ length: clients }, one))
  return { statuses, times }
}

const percentile = (values: readonly number[], p: number): number =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * p))]!

/** Within three times of what it was; below 400 ms the machine's own moods count for more. */
const isAsFast = (times: readonly number[], before: readonly number[]): boolean =>
  percentile(times, 0.99) < 3 * Math.max(400, percentile(before, 0.99))

t.test('kill -9 of one of two: a few calls that were under way fail, nothing after them does', async t => {
  trackLeaks(t)
  const [a, b] = [await child(t, 'a'), await child(t, 'b')]
  const door = await groupDoor(t, [a.url, b.url])
  const { statuses } = await load(door, 16, made => {
    if (made === 400) a.proc.kill('SIGKILL')
    return made >= 1_500
  })
  await a.exit
  const failed = statuses.filter(s => s !== 200)
  t.ok(failed.length <= 16, `${failed.length} calls failed, one for each that was under way at most`)
  t.same(new Set(failed.filter(s => s !== 502)), new Set())
  t.match(await door.health.until(c => c.state === 'ejected'), { label: a.url, reason: String })
  t.equal(textOf(await door.call('last')), 'b')

  // It comes back at the same place, and is asked again.
  await child(t, 'a again', new URL(a.url).port)
  let back = false
  void door.health
    .until(c => c.state === 'up' && c.label === a.url)
    .then(() => {
      back = true
    })
  const after = new Set<number>()
  while (!back) after.add((await door.call('poke')).status)
  t.same(after, new Set([200]), 'nobody has noticed')
  t.match(door.target.health?.(), [{ state: 'up' }, { state: 'up' }])
})

t.test('one of two hangs: the other answers as fast as before', async t => {
  trackLeaks(t)
  const [a, b] = [await child(t, 'a'), await child(t, 'b')]
  const door = await groupDoor(t, [a.url, b.url])
  const before = await load(door, 8, made => made >= 400)
  t.ok(before.statuses.every(s => s === 200))

  a.proc.kill('SIGSTOP')
  const all: Promise<unknown>[] = []
  const times: number[] = []
  let made = 0
  // Each goes on when its call was not answered in time, and leaves it waiting.
  const client = async (): Promise<void> => {
    while (made < 800) {
      const startedAt = performance.now()
      const call = door.call(`b${++made}`).then(() => times.push(performance.now() - startedAt))
      all.push(call)
      await within(call, { timeoutMs: 100 }).catch(() => {})
    }
  }
  await Promise.all(Array.from({ length: 8 }, client))
  t.ok(times.length >= 785, `${all.length - times.length} of ${all.length} calls hang with the server`)
  t.ok(isAsFast(times, before.times), `p99 ${percentile(times, 0.99)} ms, before ${percentile(before.times, 0.99)} ms`)
  a.proc.kill('SIGCONT')
  await Promise.all(all)
  t.pass('and these are answered when it goes on')
})

t.test('a server that floods one client, who does not read, takes nothing from others', async t => {
  trackLeaks(t)
  const [a, b] = [await child(t, 'a'), await child(t, 'b')]
  const door = await groupDoor(t, [a.url, b.url])
  const calm = await load(door, 8, made => made >= 400)
  const message = modern(toolCall('flood', 'flood'))
  const flooded = await openSse(door.url, { method: 'POST', headers: modernHeaders(message), body: message })
  flooded.pause()
  const before = process.memoryUsage().rss
  const { statuses, times } = await load(door, 8, made => made >= 800)
  t.ok(statuses.every(s => s === 200))
  t.ok(isAsFast(times, calm.times), `p99 ${percentile(times, 0.99)} ms, before ${percentile(calm.times, 0.99)} ms`)
  t.ok(process.memoryUsage().rss - before < 150_000_000, 'what nobody reads waits at the server')
  flooded.close()
})

t.test('a session stays with the server that made it, and is refused alone when that hangs', async t => {
  trackLeaks(t)
  const [a, b] = [await child(t, 'a'), await child(t, 'b')]
  const door = await groupDoor(t, [a.url, b.url])
  const sessions = await Promise.all([1, 2, 3, 4].map(id => rawPost(door.url, initialize(id))))
  const ids = sessions.map(s => String(s.headers['mcp-session-id']))
  const names = sessions.map(s => (s.json() as { result: { serverInfo: { name: string } } }).result.serverInfo.name)
  t.same(names.toSorted(), ['a', 'a', 'b', 'b'])
  for (let round = 0; round < 5; round++)
    for (const [i, id] of ids.entries())
      t.equal(textOf(await rawPost(door.url, toolCall(round, 'echo'), legacyHeaders(id))), names[i])

  a.proc.kill('SIGKILL')
  await a.exit
  const ofA = ids[names.indexOf('a')]
  const ofB = ids[names.indexOf('b')]
  const lost = await rawPost(door.url, toolCall(9, 'echo'), legacyHeaders(ofA))
  t.equal(lost.status, 502)
  t.equal(textOf(await rawPost(door.url, toolCall(9, 'echo'), legacyHeaders(ofB))), 'b')
  t.equal((await rawPost(door.url, initialize(5))).status, 200, 'new sessions are made elsewhere')
})

t.test('one that has no others hangs: nobody is refused for it, and all are heard when it goes on', async t => {
  trackLeaks(t)
  const a = await child(t, 'a')
  const door = await groupDoor(t, [a.url], {
    health: { failures: 2, ejection: 60_000 },
    settings: { requestTimeout: 300 }
  })
  a.proc.kill('SIGSTOP')
  for (let i = 0; i < 4; i++) t.equal((await door.call(i)).status, 504)
  a.proc.kill('SIGCONT')
  let answer = await door.call('again')
  while (answer.status === 504) answer = await door.call('again')
  t.equal(answer.status, 200)
  t.equal(textOf(answer), 'a')
})
