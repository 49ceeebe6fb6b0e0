/**
 * Several instances, one store, many clients, and everything that can go wrong with them, as a seed has it:
 *
 *   npm run chaos -- [--seed S] [--seconds N] [--clients M] [--instances I] [--backend http|command] [--loss reinitialize|propagate]
 *     [--store redis|sentinel|memory] [--failure fail|local] [--lease MS] [--times T]
 *
 * With `--times` further seeds follow. Exits with 1 if anything happened that must not, and tells the seed, what happened, and what
 * the instances said.
 */
import { parseArgs } from 'node:util'
import { type ChaosOptions, type Report, runChaos } from './chaos/run.ts'

const text = { type: 'string' } as const
const { values } = parseArgs({
  options: {
    ...{ seed: text, seconds: text, clients: text, instances: text, backend: text, loss: text, store: text },
    ...{ failure: text, lease: text, idle: text, times: text }
  }
})

const first = number('seed', values.seed, Math.floor(Math.random() * 1_000_000))
let good = true
for (let i = 0; i < number('times', values.times, 1); i++) good = (await once(first + i)) && good
process.exitCode = good ? 0 : 1

async function once(seed: number): Promise<boolean> {
  const options = optionsFor(seed)
  const { backend, store, loss, instances, seconds } = options
  console.log(
    `seed ${seed}: ${instances} instances, ${backend} behind, ${store}, ${loss ?? 'default loss'}, ${seconds} s`
  )
  const report = await runChaos(options, said => console.log(`  ${said}`))
  tell(report)
  return report.faults.length === 0
}

function optionsFor(seed: number): ChaosOptions {
  const store = oneOf('store', values.store ?? 'redis', 'redis', 'sentinel', 'memory')
  return {
    seed,
    seconds: number('seconds', values.seconds, 30),
    clients: number('clients', values.clients, 8),
    instances: number('instances', values.instances, store === 'memory' ? 1 : 3),
    backend: oneOf('backend', values.backend ?? 'http', 'http', 'command'),
    store,
    loss: oneOf('loss', values.loss ?? 'reinitialize', 'reinitialize', 'propagate'),
    failure: oneOf('failure', values.failure ?? 'fail', 'fail', 'local'),
    lease: number('lease', values.lease, 2_000),
    idle: number('idle', values.idle, 20_000)
  }
}

function tell({ seed, faults, counts, troubles, sessions, lost, memory, log, said }: Report): void {
  for (const [what, count] of Object.entries(counts)) console.log(`  ${String(count).padStart(7)} ${what}`)
  console.log(
    `  ${troubles} troubles, ${sessions} sessions, ${lost} lost; at most ${Math.round(memory / 1e6)} MB an instance`
  )
  if (faults.length === 0) return console.log(`seed ${seed}: all is well`)
  console.log([...log, '', ...said, ''].join('\n'))
  for (const fault of faults) console.log(`✗ ${fault}`)
  console.log(`seed ${seed}: ${faults.length} faults`)
}

function number(name: string, given: string | undefined, otherwise: number): number {
  const value = given === undefined ? otherwise : Number(given)
  if (Number.isFinite(value) && value > 0) return value
  throw new TypeError(`--${name}: '${given}' is not allowed; give a number above 0`)
}

function oneOf<T extends string>(name: string, given: string, ...allowed: readonly T[]): T {
  const found = allowed.find(one => one === given)
  if (found !== undefined) return found
  throw new TypeError(`--${name}: '${given}' is not allowed; choose from ${allowed.join(', ')}`)
}
