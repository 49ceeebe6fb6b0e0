/**
 * The conformance gate: the official suite (and checks of our own) against the reference server, directly and through
 * catflap, in front of it over HTTP and over stdio. What succeeds directly has to succeed through catflap.
 *
 * Then the suite's own traffic, recorded over HTTP and stdio, is served from the tape to the same suite: what succeeded while
 * it was recorded has to succeed again.
 *
 * And it is done through three instances of catflap that share a Redis, each request through the next one (wants haproxy and
 * redis-server).
 *
 *   npm run conformance [-- --spec-version 2025-11-25] [--via proxy|replay|cluster] [--times 3] [--mutants] [--keep <folder>]
 *
 * `--mutants` points the same gate at relays that do one thing wrong, each of which has to be noticed. Exits with 1 if
 * anything was lost, or a mutant was not caught.
 */
import { parseArgs } from 'node:util'
import { CLUSTERS } from './cluster.ts'
import { REVISIONS, type Revision } from './compare.ts'
import { type GateOptions, gateRevision, Pool, type RevisionResult, settleAll } from './gate.ts'
import { runMutants } from './mutants/run.ts'
import { faultsOf, tableOf } from './report.ts'
import { gateTaped, TAPED, type Taped } from './taped.ts'
import { THROUGH } from './targets.ts'

/** More would take time from each other on a small machine, and some checks look at time. */
const AT_A_TIME = 2
const VIA = ['proxy', 'replay', 'cluster']

const { values } = parseArgs({
  options: {
    'spec-version': { type: 'string', multiple: true },
    via: { type: 'string', multiple: true, default: ['proxy', 'replay'] },
    times: { type: 'string', default: '1' },
    mutants: { type: 'boolean', default: false },
    keep: { type: 'string' }
  }
})

const stop = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => stop.abort(new Error(`ended by ${signal}`)))

try {
  const options: GateOptions = { signal: stop.signal, keep: values.keep }
  const good = values.mutants ? await runMutants(AT_A_TIME, options) : await runGate(options)
  process.exitCode = good ? 0 : 1
} catch (error) {
  console.error(stop.signal.aborted ? String(stop.signal.reason) : error)
  process.exitCode = 1
}

async function runGate(options: GateOptions): Promise<boolean> {
  const times = Number(values.times)
  if (!Number.isInteger(times) || times < 1) throw new Error(`--times ${values.times}: a whole number from 1 on`)
  checkVia()
  let good = true
  for (let turn = 1; turn <= times && !options.signal?.aborted; turn++) {
    if (times > 1) console.log(`pass ${turn} of ${times}`)
    good = (await pass(options)) && good
  }
  return good
}

function checkVia(): void {
  const other = values.via.find(name => !VIA.includes(name))
  if (other !== undefined) throw new Error(`--via ${other}: not one of ${VIA.join(', ')}`)
}

async function pass(options: GateOptions): Promise<boolean> {
  const start = performance.now()
  const pool = new Pool(AT_A_TIME)
  const results = await settleAll(
    revisions().flatMap(revision => [
      ...(values.via.includes('proxy') ? [gateRevision(revision, THROUGH, pool, options)] : []),
      ...(values.via.includes('cluster') ? [gateRevision(revision, CLUSTERS, pool, options)] : []),
      ...(values.via.includes('replay') ? [taped(revision, pool, options)] : [])
    ])
  )
  console.log(tableOf(results.flatMap(({ rows }) => rows)))
  const faults = results.flatMap(faultsOf)
  for (const fault of faults) console.log(`✗ ${fault}`)
  for (const note of results.flatMap(({ rows, above }) => above.map(a => `${rows[0]?.revision}: ${a}`))) {
    console.log(`floors.json can be higher: ${note}`)
  }
  const seconds = Math.round((performance.now() - start) / 1_000)
  console.log(faults.length > 0 ? `${faults.length} faults, ${seconds} s` : `nothing is lost, ${seconds} s`)
  return faults.length === 0
}

async function taped(revision: Revision, pool: Pool, options: GateOptions): Promise<RevisionResult> {
  const names = Object.keys(TAPED) as Taped[]
  const rows = await settleAll(names.map(name => pool.run(() => gateTaped(revision, name, options))))
  return { rows, below: [], above: [] }
}

function revisions(): readonly Revision[] {
  const wanted = values['spec-version'] ?? REVISIONS
  for (const name of wanted) {
    if (!(REVISIONS as readonly string[]).includes(name)) {
      throw new Error(`--spec-version ${name}: not one of ${REVISIONS.join(', ')}`)
    }
  }
  return wanted as readonly Revision[]
}
