/**
 * How fast is catflap, and what does it take, beside others that do the same work? `npm run bench -- --help` tells the options,
 * docs/performance.md what was found.
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { HELP, type Options, optionsOf } from './options.ts'
import { Owner, reasonOf } from './owner.ts'
import { build, buildCommit, commitOf, ROOT } from './peers/build.ts'
import { type Builds, peerKinds } from './peers/list.ts'
import { missingPrograms } from './peers/process.ts'
import { machine, programs } from './report/machine.ts'
import type { Run, ScenarioResult } from './report/results.ts'
import { textTable } from './report/table.ts'
import { runScenario } from './runner.ts'

const say = (text: string): void => void process.stderr.write(text)

async function measure(options: Options, owner: Owner): Promise<Run> {
  const startedAt = Date.now()
  const folder = await mkdtemp(path.join(os.tmpdir(), 'catflap-bench-'))
  owner.add(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }))
  const about = { machine: machine(), programs: programs() }
  const builds = await buildAll(options, folder)
  const kinds = peerKinds(builds)
  const scenarios: ScenarioResult[] = []
  for (const scenario of options.scenarios) {
    const profile = options.profile && path.join(options.profile, scenario.name)
    const profiled = profile === undefined ? kinds : peerKinds({ ...builds, profile })
    const { plan, peers } = options
    const result = await runScenario(scenario, {
      plan,
      kinds: profiled,
      peers,
      other: builds.other?.name,
      folder,
      owner,
      say
    })
    process.stdout.write(`${result.title}\n${textTable(result)}\n\n`)
    scenarios.push(result)
  }
  return {
    version: 1,
    at: new Date(startedAt).toISOString(),
    seconds: Math.round((Date.now() - startedAt) / 1000),
    plan: options.plan,
    ...about,
    ...(builds.other && { compared: builds.other.commit }),
    peers: kinds.map(({ name, says }) => ({ name, says })),
    scenarios
  }
}

async function buildAll({ compare }: Options, folder: string): Promise<Builds> {
  say('compiling …\n')
  const own = await build(ROOT, path.join(folder, 'own'))
  if (compare === undefined) return { own }
  const built = await buildCommit(compare, path.join(folder, 'other'))
  return { own, other: { name: `catflap@${compare}`, commit: built.commit, built } }
}

function refuse(why: string, code: number): never {
  say(`bench: ${why}\n`)
  process.exit(code)
}

async function checkedOptions(): Promise<Options> {
  try {
    const options = optionsOf(process.argv.slice(2))
    if (options.compare !== undefined) await commitOf(options.compare)
    return options
  } catch (error) {
    return refuse(reasonOf(error), 2)
  }
}

/** Ends everything however the run ends: done, failed, Ctrl-C, or not done in time. */
async function owned(options: Options): Promise<Run> {
  const owner = new Owner()
  let stopping: Promise<unknown> | undefined
  const stop = (why: string, code: number): void => {
    // Whoever presses Ctrl-C again has to wait all the same: what is left would stay.
    if (stopping) return
    say(`\nbench: ${why}\n`)
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
  const missing = missingPrograms(['nginx', 'wrk'])
  if (missing.length > 0)
    refuse(`${missing.join(' and ')} not found; on Debian: apt-get install ${missing.join(' ')}`, 1)
  const run = await owned(options)
  const { rounds, ms } = options.plan
  process.stdout.write(`Medians of ${rounds} rounds of ${ms / 1000} s each\n`)
  await mkdir(path.dirname(options.out), { recursive: true })
  await writeFile(options.out, `${JSON.stringify(run, null, 1)}\n`)
  process.stdout.write(`raw data: ${options.out}\n`)
  if (run.scenarios.some(s => s.results.some(r => r.failed !== undefined))) process.exitCode = 1
}

await main()
