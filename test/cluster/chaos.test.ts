/** A few seconds of what `npm run chaos` does for as long as one likes. */
import t from 'tap'
import { skipWithoutRedis } from '../fixtures/servers/redis.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { skipWithoutBalancer } from './balancer.ts'
import { type ChaosOptions, type Report, runChaos } from './chaos/run.ts'

const skip = process.platform === 'win32' ? 'processes are paused on Unix' : skipWithoutRedis() || skipWithoutBalancer()
const SHORT = { instances: 3, store: 'redis', seconds: 5, clients: 4, lease: 1_000, idle: 10_000 } as const

const RUNS: readonly (Pick<ChaosOptions, 'backend' | 'loss' | 'seed'> & { readonly says: string })[] = [
  { says: 'a server over HTTP behind', backend: 'http', loss: 'reinitialize', seed: 5 },
  { says: 'commands behind, which are started anew', backend: 'command', loss: 'reinitialize', seed: 12 }
]

t.setTimeout(240_000)

for (const { says, ...run } of RUNS) {
  t.test(
    `instances and Redis come and go, ${says}: everybody gets one answer or one clear error`,
    { skip },
    async t => {
      trackLeaks(t)
      const report = await runChaos({ ...SHORT, ...run })
      t.strictSame(report.faults, [], told(report))
      t.ok(report.troubles > 0, 'something was wrong')
      t.ok((report.counts['work: answer'] ?? 0) > 0, 'and calls were answered')
    }
  )
}

function told({ seed, faults, log, said }: Report): string {
  return faults.length === 0 ? `seed ${seed}` : [`seed ${seed}`, ...log, ...said].join('\n')
}
