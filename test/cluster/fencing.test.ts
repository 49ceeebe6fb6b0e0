/** An owner that was stopped for longer than its lease, and goes on: it does nothing of what it finds in its sockets. */
import t from 'tap'
import { skipWithoutRedis } from '../fixtures/servers/redis.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { rawPost } from '../helpers/raw-client.ts'
import { initialize, legacyHeaders, notification, rpc } from '../helpers/rpc.ts'
import { skipWithoutBalancer } from './balancer.ts'
import { until } from './instance.ts'
import { faultsOf } from './ledger.ts'
import { Stage } from './stage.ts'

const skip = process.platform === 'win32' ? 'processes are paused on Unix' : skipWithoutRedis() || skipWithoutBalancer()

t.setTimeout(120_000)

t.test(
  'calls that wait in its sockets are carried out by whoever has taken over, and by nobody else',
  { skip },
  async t => {
    trackLeaks(t)
    const stage = await Stage.open({ backend: 'command', instances: 2, store: 'redis', lease: 2_000 })
    t.teardown(async () => {
      const faults = await stage.close()
      if (faults.length > 0) throw new Error(faults.join('\n'))
    })
    const [owner, other] = [0, 1].map(i => `http://127.0.0.1:${stage.instance(i).port}/mcp`) as [string, string]
    const begun = await rawPost(owner, initialize())
    const headers = legacyHeaders(String(begun.headers['mcp-session-id']))
    await rawPost(owner, notification('notifications/initialized'), headers)
    const work = (at: string, call: string) =>
      rawPost(at, rpc(call, 'tools/call', { name: 'work', arguments: { call, secret: 'one' } }), headers)
    t.equal((await work(owner, 'before')).status, 200)
    const [child] = stage.ledger.children()

    stage.instance(0).pause()
    const waiting = ['first', 'second', 'third'].map(call => work(owner, call))
    t.equal((await work(other, 'between')).status, 200, 'the other one has taken over')
    stage.instance(0).resume()
    for (const answer of await Promise.all(waiting)) t.equal(answer.status, 200, answer.text)

    const entries = stage.ledger.entries()
    t.same(faultsOf(entries), [], 'each ran once')
    const placeOf = (call: string) =>
      entries.flatMap(one => (one.kind === 'run' && one.call === call ? [one.place] : []))
    for (const call of ['first', 'second', 'third']) t.same(placeOf(call), placeOf('between'), call)
    t.notSame(placeOf('between'), placeOf('before'))
    t.ok(await until(10_000, () => !stage.ledger.liveChildren().includes(child!)), 'its child has ended')
  }
)
