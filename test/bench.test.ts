/** That the benchmark runs, compares answers and leaves nothing; and nothing about how fast anything is. */
import { execFile, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { copyFile, cp, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { PEER_NAMES } from '../bench/peers/list.ts'
import { missingPrograms, requiredProgram } from '../bench/peers/process.ts'
import { goalsOf } from '../bench/report/goals.ts'
import { filledPage, pictures } from '../bench/report/page.ts'
import { median, type Run, type ScenarioResult } from '../bench/report/results.ts'
import { curveSvg } from '../bench/report/svg.ts'
import { markdownTable, textTable } from '../bench/report/table.ts'
import { SCENARIOS } from '../bench/scenarios/list.ts'
import { trackLeaks } from './helpers/leaks.ts'
import { skipBecause } from './helpers/require.ts'

const RUN = fileURLToPath(new URL('../bench/run.ts', import.meta.url))
const WRITE = path.join(path.dirname(RUN), 'write.ts')
const DOCS = fileURLToPath(new URL('../docs', import.meta.url))
const missing = missingPrograms(['nginx', 'wrk'])
const skip = missing.length > 0 && skipBecause(`${missing.join(' and ')} not found`)
const run = promisify(execFile)

/** Without what tap has every Node process load: it costs each of many a start. */
const BENCH = ['-u', 'NODE_OPTIONS', process.execPath, '--no-warnings', RUN]

// Half a minute where nothing else runs; here something else does.
t.setTimeout(300_000)

async function folderFor(t: Test): Promise<string> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'catflap-bench-test-'))
  t.teardown(() => rm(folder, { recursive: true }))
  return folder
}

t.test('every scenario with every peer that is there', { skip, timeout: 200_000 }, async t => {
  trackLeaks(t)
  const folder = await folderFor(t)
  const names = SCENARIOS.map(s => s.name)
  // Much of it is waiting, so two at once take little longer than one.
  const halves = [names.filter((_, i) => i % 2 === 0), names.filter((_, i) => i % 2 === 1)]
  const runs = await Promise.all(halves.map((half, i) => smoke(half, path.join(folder, `half-${i}`))))
  for (const [i, { raw, stdout }] of runs.entries()) {
    t.strictSame(
      raw.scenarios.map(s => s.name),
      halves[i]
    )
    t.strictSame(raw.peers.map(p => p.name).sort(), [...PEER_NAMES].sort())
    for (const scenario of raw.scenarios) {
      checkScenario(t, scenario)
      t.ok(stdout.includes(`${scenario.title}\n`), `${scenario.title} is shown`)
    }
  }
})

async function smoke(scenarios: readonly string[], folder: string): Promise<{ raw: Run; stdout: string }> {
  await mkdir(folder)
  const out = path.join(folder, 'raw.json')
  const args = [...BENCH, '--smoke', '--scenarios', scenarios.join(','), '--out', out]
  const ended = run('env', args, { env: { ...process.env, TMPDIR: folder } })
  // A gateway that fails makes it exit with 1.
  const { stdout } = await ended.catch((error: { stdout: string }) => error)
  const left = leftBehind(folder)
  if (left.length > 0) throw new Error(`it left ${left}`)
  return { raw: JSON.parse(await readFile(out, 'utf8')) as Run, stdout }
}

/** In the folder for temporary files. (catflap has a folder of its own there, which its processes share.) */
function leftBehind(folder: string): string[] {
  return readdirSync(folder).filter(name => name.startsWith('catflap-bench'))
}

/** Programs of others that may fail, and are told of as such; whatever is ours has to work. */
const OTHERS = /^(?:mcp-proxy|supergateway|http-proxy-3)/

function checkScenario(t: Test, { name, metrics, curve, results }: ScenarioResult): void {
  t.ok(results.length > 0, `${name} has peers`)
  for (const { peer, rounds, failed, skipped } of results) {
    const what = `${name}, ${peer}`
    if (skipped !== undefined) {
      t.match(skipped, /cannot stand in front|not installed|has no --metrics/, `${what}: ${skipped}`)
      // Throws where everything is to be tested.
      if (skipped.includes('not installed')) t.comment(skipBecause(`${what}: ${skipped}`))
      continue
    }
    if (failed !== undefined && OTHERS.test(peer)) {
      t.comment(`${what}: ${failed}`)
      continue
    }
    t.equal(failed, undefined, what)
    t.equal(rounds.length, 1, `${what}: one round`)
    const [first] = metrics
    const key = curve ? `${first!.key}@${curve.points[0]}` : first!.key
    t.type(rounds[0]?.[key], 'number', `${what}: ${key}`)
  }
}

const repository = spawnSync('git', ['-C', path.dirname(RUN), 'rev-parse', '--verify', 'HEAD'])
const noCommit = repository.status !== 0 && skipBecause('this is no git repository with a commit')

t.test('another commit, profiles and a choice of peers', { skip: skip || noCommit, timeout: 60_000 }, async t => {
  trackLeaks(t)
  const folder = await folderFor(t)
  const out = path.join(folder, 'raw.json')
  const options = ['--smoke', '--scenarios', 'small', '--peers', 'catflap', '--compare', 'HEAD', '--profile', folder]
  await run('env', [...BENCH, ...options, '--out', out])
  const { scenarios, compared } = JSON.parse(await readFile(out, 'utf8')) as Run
  t.match(compared, /^[0-9a-f]{40}$/)
  const { results } = scenarios[0]!
  t.strictSame(
    results.map(({ peer, failed, rounds }) => [peer, failed, rounds.length]),
    [
      ['catflap', undefined, 1],
      ['catflap@HEAD', undefined, 1]
    ]
  )
  const profiles = readdirSync(path.join(folder, 'small/catflap')).filter(name => name.endsWith('.cpuprofile'))
  t.equal(profiles.length, 1, 'a profile of this catflap')
  const others = readdirSync(path.join(folder, 'small/@HEAD/catflap')).filter(name => name.endsWith('.cpuprofile'))
  t.equal(others.length, 1, 'and of the other: a profiler slows whom it watches')
  await t.rejects(run('env', [...BENCH.slice(0, -1), WRITE, out, folder]), /slowed by its profiler/)
})

t.test('Ctrl-C ends everything, and leaves what was measured', { skip, timeout: 60_000 }, async t => {
  trackLeaks(t)
  const folder = await folderFor(t)
  const out = path.join(folder, 'raw.json')
  const some = ['--scenarios', 'stdio,small', '--peers', 'relay,catflap', '--smoke', '--rounds', '50', '--out', out]
  const args = [...BENCH, ...some]
  const bench = spawn('env', args, {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, TMPDIR: folder }
  })
  const exited = once(bench, 'exit')
  let said = ''
  bench.stderr.setEncoding('utf8').on('data', text => {
    said += text
    if (/small \(1 of 2, about \d+ s left\): 1 2/.test(said)) bench.kill('SIGINT')
  })
  const [code] = await exited
  t.equal(code, 130)
  t.strictSame(leftBehind(folder), [], 'its files are gone')
  t.ok(said.includes(out), 'it says where to look')
  const raw = JSON.parse(await readFile(out, 'utf8')) as Run
  t.equal(raw.cut, true)
  t.match(
    raw.scenarios.map(({ name, results }) => [name, results.map(({ peer, failed }) => [peer, failed])]),
    [['small', [['relay', undefined], ['catflap', undefined]]]] // biome-ignore format: as the data is
  )
  for (const { rounds } of raw.scenarios[0]!.results) t.ok(rounds.length >= 1, 'whole rounds')
  await pageOf(t, out)
})

/** Writes the page of a run beside a copy of the docs, as it is done for the real one. */
async function pageOf(t: Test, raw: string): Promise<void> {
  const docs = path.join(await folderFor(t), 'docs')
  await cp(path.join(DOCS, 'performance'), path.join(docs, 'performance'), { recursive: true })
  await copyFile(path.join(DOCS, 'performance.md'), path.join(docs, 'performance.md'))
  await run('env', [...BENCH.slice(0, -1), WRITE, raw, docs])
  const page = await readFile(path.join(docs, 'performance.md'), 'utf8')
  t.match(page, /It did not come to its end/)
  t.match(page, /\| start to listening, to `node -e 0` \| ≤ 5 × \| not measured \| – \|/)
  checkPage(t, docs)
}

/** The page, its pictures and the raw data say the same, and no other picture lies there. */
function checkPage(t: Test, docs: string, name = 'performance'): Run {
  const page = readFileSync(path.join(docs, `${name}.md`), 'utf8')
  const raw = JSON.parse(readFileSync(path.join(docs, name, 'run.json'), 'utf8')) as Run
  t.equal(filledPage(page, raw), page, `run: node bench/write.ts docs/${name}/run.json docs ${name}`)
  const drawn = pictures(raw)
  const there = readdirSync(path.join(docs, name)).filter(file => file.endsWith('.svg'))
  t.strictSame(there.sort(), [...drawn.keys()].sort())
  for (const [file, svg] of drawn) t.equal(readFileSync(path.join(docs, name, file), 'utf8'), svg, file)
  return raw
}

t.test('a wrong option is named, with what is allowed', async t => {
  const cases = [
    [['--rounds', 'none'], /--rounds: 'none' is not allowed; give a whole number from 1, at most 50/],
    [['--seconds', '0'], /--seconds: '0' is not allowed; give a number above 0/],
    [['--peers', 'relay,what'], /--peers: 'what' is not known; choose from direct, /],
    [['--scenarios', 'huge'], /--scenarios: 'huge' is not known; choose from small, /],
    [['--compare', '--output=x'], /--compare/],
    [['--compare=no-such-commit'], /--compare: 'no-such-commit' is no commit of this repository/]
  ] as const
  for (const [args, said] of cases) {
    const { status, stderr } = spawnSync('env', [...BENCH, ...args], { encoding: 'utf8' })
    t.equal(status, 2)
    t.match(stderr, said)
  }
})

t.test(
  'a machine without a program is told what to install, and measures the rest',
  { skip, timeout: 60_000 },
  async t => {
    t.strictSame(missingPrograms(['no-such-program-for-sure']), ['no-such-program-for-sure'])
    t.throws(() => requiredProgram('no-such-program'), /not installed; on Debian: apt-get install no-such-program/)
    trackLeaks(t)
    const folder = await folderFor(t)
    const out = path.join(folder, 'raw.json')
    const some = ['--smoke', '--scenarios', 'small,start-up', '--peers', 'relay', '--out', out]
    // On Debian nginx is found nevertheless, as it is in sbin; wrk is not.
    const env = { ...process.env, PATH: '', NODE_OPTIONS: '' }
    const { stderr } = await run(process.execPath, ['--no-warnings', RUN, ...some], { env })
    t.match(stderr, /wrk not found; on Debian: apt-get install .*wrk\n.*going on with the rest/s)
    const raw = JSON.parse(await readFile(out, 'utf8')) as Run
    const [small, startUp] = raw.scenarios.map(s => s.results[0]!)
    t.match(small, { skipped: /^(?:wrk|nginx) is not installed; on Debian: apt-get install / })
    if (missingPrograms(['nginx']).length === 0) t.type(startUp!.rounds[0]?.ms, 'number')
    t.match(textTable(raw.scenarios[0]!), /relay: not measured: (?:wrk|nginx) is not installed/)
  }
)

const EXAMPLE: ScenarioResult = {
  name: 'example',
  title: 'An <example>',
  says: 'It says so.',
  metrics: [{ key: 'rate', label: 'requests/s', digits: 0, better: 'more' }],
  base: 'relay',
  results: [
    { peer: 'relay', rounds: [{ rate: 100 }, { rate: 200 }, { rate: 300 }] },
    { peer: 'other', rounds: [{ rate: 300 }, { rate: 301 }, { rate: 1 }] },
    { peer: 'broken', rounds: [], failed: 'it <broke>' },
    { peer: 'absent', rounds: [], skipped: 'not installed' }
  ]
}

t.test('ratios are those of medians; who has no numbers is shown with the reason', async t => {
  t.equal(median([9, 1, 5]), 5)
  t.equal(median([4, 1, 2, 3]), 2.5)
  const text = textTable(EXAMPLE)
  t.match(text, /^other +300 +1 – 301 +1\.50$/m)
  t.match(text, /^broken: failed: it <broke>$/m)
  const page = markdownTable(EXAMPLE)
  t.match(page, /^\| other \| 300 \| 1 – 301 \| 1\.50 \|$/m)
  t.match(page, /^- broken: failed: it &lt;broke>$/m)
  t.match(page, /^- absent: not measured: not installed$/m)
})

t.test('numbers that are doubtful are told as such, and another commit has ratios of its own', async t => {
  const notes = [{ key: 'missing', above: 0, says: 'requests had no answer' }]
  const twins = ['catflap', 'catflap@main', 'relay'].map((peer, i) => ({
    peer,
    rounds: [
      { rate: 100 + i * 100, missing: 0 },
      { rate: 100 + i * 100, missing: i === 0 ? 3 : 0 }
    ]
  }))
  const text = textTable({ ...EXAMPLE, notes, results: twins })
  t.match(text, /× relay +× @main\n/)
  t.match(text, /^catflap +100 +100 – 100 +0\.33 +0\.50$/m)
  t.match(text, /^catflap@main +200 +200 – 200 +0\.67 +–$/m)
  t.match(text, /^catflap: in 1 of 2 rounds, requests had no answer$/m)
  t.notMatch(text, /^relay: in/m)
})

t.test('a curve is drawn for every peer that has numbers', async t => {
  const at = (a: number, b: number): { 'rate@1': number; 'rate@1000': number } => ({ 'rate@1': a, 'rate@1000': b })
  const results = [
    { peer: 'relay', rounds: [at(100, 90)] },
    { peer: 'other', rounds: [at(1000, 10)] },
    { peer: 'broken', rounds: [], failed: 'it broke' }
  ]
  const svg = curveSvg({ ...EXAMPLE, results, curve: { label: 'sessions', points: [1, 1000], unit: 'count' } })
  t.equal(svg?.match(/<polyline/g)?.length, 2)
  t.match(svg, /aria-label="An &lt;example>"/)
  t.match(svg, /prefers-color-scheme: dark/)
  t.notMatch(svg, /NaN|undefined/)
  t.equal(curveSvg(EXAMPLE), undefined)
})

t.test('docs/performance.md is what its raw data makes of it', async t => {
  const raw = checkPage(t, DOCS)
  t.ok(goalsOf(raw).length > 0)
  const page = readFileSync(path.join(DOCS, 'performance.md'), 'utf8')
  for (const block of ['goals', 'run', 'peers', 'scenarios', 'curves'])
    t.ok(page.includes(`<!-- bench ${block} -->`), `it has the block ${block}`)
  const other = { ...raw, scenarios: raw.scenarios.toSpliced(0, 1) }
  t.not(filledPage(page, other), page, 'other data would make another page')
  t.throws(() => filledPage('<!-- bench what -->\n<!-- /bench -->', raw), /a block 'what' that nobody fills/)
})

t.test('docs/reverse-performance.md is what its raw data makes of it', async t => {
  const raw = checkPage(t, DOCS, 'reverse-performance')
  t.ok(goalsOf(raw, 'reverse').every(({ measured }) => measured !== undefined))
})

t.test('docs/replay-performance.md is what its raw data makes of it', async t => {
  const raw = checkPage(t, DOCS, 'replay-performance')
  t.ok(goalsOf(raw, 'replay').every(({ measured }) => measured !== undefined))
})
