/**
 * How fast is catflap, and what does it take, beside others that do the same work? `npm run bench -- --help` tells the options,
 * docs/performance.md what was found.
 */
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { estimate } from './estimate.ts'
import { HELP, type Options, optionsOf } from './options.ts'
import { Owner, reasonOf } from './owner.ts'
import { build, buildCommit, commitOf, ROOT } from './peers/build.ts'
import { type Builds, peerKinds } from './peers/list.ts'
import { missingPrograms } from './peers/process.ts'
import { machine, processorTime, programs } from './report/machine.ts'
import type { Run, ScenarioResult } from './report/results.ts'
import { textTable } from './report/table.ts'
import { runScenario, takingPart } from './runner.ts'

const say = (text: string): void => void process.stderr.write(text)

async function measure(options: Options, owner: Owner): Promise<Run> {
  const startedAt = performance.now()
  const { plan, peers } = options
  const folder = await mkdtemp(path.join(os.tmpdir(), 'catflap-bench-'))
  owner.add(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }))
  const before = processorTime()
  const about = { at: new Date().toISOString(), plan, machine: machine(), programs: programs() }
  const builds = await buildAll(options, folder)
  const kinds = peerKinds(builds)
  const done: ScenarioResult[] = []
  const runOf = (scenarios: readonly ScenarioResult[]): Run => ({
    version: 1,
    ...about,
    seconds: Math.round((performance.now() - startedAt) / 1000),
    stolen: stolenSince(before),
    ...(options.profile !== undefined && { profiled: true }),
    ...(builds.other && { compared: builds.other.commit }),
    peers: kinds.map(({ name, says }) => ({ name, says })),
    scenarios
  })
  const save = (soFar: ScenarioResult): Promise<void> => write({ ...runOf([...done, soFar]), cut: true }, options.out)
  const costs = options.scenarios.map(scenario =>
    estimate(scenario, takingPart(scenario, { kinds, peers }).length, plan)
  )
  const scenariosFrom = performance.now()
  for (const [i, scenario] of options.scenarios.entries()) {
    const left = remaining(costs, i, (performance.now() - scenariosFrom) / 1000)
    say(`${scenario.name} (${i + 1} of ${costs.length}, ${left} left):`)
    const profile = options.profile && path.join(options.profile, scenario.name)
    const profiled = profile === undefined ? kinds : peerKinds({ ...builds, profile })
    const result = await runScenario(scenario, { plan, kinds: profiled, peers, folder, owner, startedAt, say, save })
    say('\n')
    process.stdout.write(`${result.title}\n${textTable(result)}\n\n`)
    done.push(result)
  }
  return runOf(done)
}

/** By the estimate, and by how right it was for what is done. */
function remaining(costs: readonly number[], done: number, seconds: number): string {
  const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0)
  const speed = done === 0 ? 1 : seconds / sum(costs.slice(0, done))
  const left = sum(costs.slice(done)) * speed
  return left < 90 ? `about ${Math.ceil(left)} s` : `about ${Math.round(left / 60)} minutes`
}

function stolenSince(before: ReturnType<typeof processorTime>): number | undefined {
  const now = processorTime()
  if (!before || !now || now.all <= before.all) return undefined
  return Math.round(((now.stolen - before.stolen) / (now.all - before.all)) * 10_000) / 100
}

async function buildAll({ compare }: Options, folder: string): Promise<Builds> {
  say('compiling …\n')
  const own = await build(ROOT, path.join(folder, 'own'))
  if (compare === undefined) return { own }
  const built = await buildCommit(compare, path.join(folder, 'other'))
  return { own, other: { ref: compare, commit: built.commit, built } }
}

/** Whoever reads it while the run goes on, or after it was killed, finds it whole. */
async function write(run: Run, file: string): Promise<void> {
  await writeFile(`${file}.part`, `${JSON.stringify(run, null, 1)}\n`)
  await rename(`${file}.part`, file)
}

async function checkedOptions(): Promise<Options> {
  try {
    const options = optionsOf(process.argv.slice(2))
    if (options.compare !== undefined) await commitOf(options.compare)
    await mkdir(path.dirname(options.out), { recursive: true })
    return options
  } catch (error) {
    say(`bench: ${reasonOf(error)}\n`)
    return process.exit(2)
  }
}

/** The rest goes on without it, and the results say so too. */
function sayWhatIsMissing({ peers }: Options): void {
  const wanted = (peer: string): boolean => peers === undefined || peers.includes(peer)
  const missing = missingPrograms(['nginx', 'wrk', ...(wanted('haproxy') ? ['haproxy'] : [])])
  if (missing.length > 0)
    say(`bench: ${missing.join(' and ')} not found; on Debian: apt-get install ${missing.join(' ')}\n`)
  const gateways = ['mcp-proxy', 'supergateway'].filter(
    name => wanted(name) && !existsSync(path.join(ROOT, 'bench/peers/node_modules', name))
  )
  if (gateways.length > 0) say(`bench: ${gateways.join(' and ')} not found: npm ci --prefix bench/peers\n`)
  if (missing.length + gateways.length > 0) say('bench: going on with the rest; what needs them is not measured\n')
}

/** Ends everything however the run ends: done, failed, Ctrl-C, or not done in time. */
async function owned(options: Options): Promise<Run> {
  const owner = new Owner()
  let stopping: Promise<unknown> | undefined
  const stop = (why: string, code: number): void => {
    // Whoever presses Ctrl-C again has to wait all the same: what is left would stay.
    if (stopping) return
    say(`\nbench: ${why}${existsSync(options.out) ? `; what was measured by then: ${options.out}` : ''}\n`)
    stopping = owner.end().finally(() => process.exit(code))
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stop('stopped', 130))
  const timer = setTimeout(() => stop(`not done after ${options.plan.atMost / 60_000} minutes`, 1), options.plan.atMost)
  try {
    return await measure(options, owner)
  } finally {
    clearTimeout(timer)
    // What fails because everything is being ended is no failure.
    await stopping
    const failures = await owner.end()
    if (failures.length > 0) say(`bench: ${failures.join('; ')}\n`)
  }
}

async function main(): Promise<void> {
  const options = await checkedOptions()
  if (options.help) return void process.stdout.write(HELP)
  sayWhatIsMissing(options)
  const run = await owned(options)
  const { rounds, ms } = options.plan
  process.stdout.write(`Medians of ${rounds} rounds of ${ms / 1000} s each; ${Math.round(run.seconds)} s in all\n`)
  if (run.profiled)
    process.stdout.write('catflap was slowed by its profiler: no numbers to set beside those of other peers\n')
  await write(run, options.out)
  process.stdout.write(`raw data: ${options.out}\n`)
  if (run.scenarios.some(s => s.results.some(r => r.failed !== undefined))) process.exitCode = 1
}

await main()
