/** That what must not have happened is seen where it has. */
import t from 'tap'
import { planOf } from './chaos/plan.ts'
import { faultsOf } from './ledger.ts'
import type { Entry } from './servers/counted-tools.ts'

const run = (call: string, secret: string, place: string): Entry => ({ kind: 'run', call, secret, place })

t.test('calls that ran once, in sessions that moved on, are as they should be', async t => {
  t.same(faultsOf([run('1', 's', 'a'), run('2', 't', 'b'), run('3', 's', 'c'), { kind: 'child', pid: 1 }]), [])
})

t.test(
  'a call that ran twice, one that ran where its session was before, and what crosses sessions are faults',
  async t => {
    t.match(faultsOf([run('1', 's', 'a'), run('1', 's', 'a')]), [/call 1 ran 2 times/])
    t.match(faultsOf([run('1', 's', 'a'), run('2', 's', 'b'), run('3', 's', 'a')]), [/call 3 ran where/])
    t.match(faultsOf([{ kind: 'crossed', what: 'a call', secret: 's', place: 'a' }]), [/a call with s/])
  }
)

t.test('a seed is a plan, and another one another', async t => {
  const options = { instances: 3, backend: 'http', store: 'sentinel' } as const
  t.same(planOf(1, 60_000, options), planOf(1, 60_000, options))
  t.notSame(planOf(1, 60_000, options), planOf(2, 60_000, options))
  const kinds = new Set(planOf(1, 600_000, options).map(({ what }) => what))
  t.same([...kinds].sort(), ['failover', 'forget', 'kill', 'pause', 'redis', 'stop'])
})
