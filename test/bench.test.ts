/** That the benchmark runs, compares answers and leaves nothing; and nothing about how fast anything is. */
import { execFile, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { Histogram } from '../bench/load/histogram.ts'
import { CALL, CALL_TEMPLATE, filled, HEADERS, post, postHead, RESULT } from '../bench/load/messages.ts'
import { openLoop } from '../bench/load/open-loop.ts'
import { ResponseParser } from '../bench/load/response-parser.ts'
import { expectAnswers } from '../bench/load/sessions.ts'
import { checkTape } from '../bench/load/tape.ts'
import { expectBusy } from '../bench/load/wrk.ts'
import { PEER_NAMES } from '../bench/peers/list.ts'
import { missingPrograms } from '../bench/peers/process.ts'
import { goalsOf } from '../bench/report/goals.ts'
import { filledPage, pictures } from '../bench/report/page.ts'
import { median, type Run, type ScenarioResult } from '../bench/report/results.ts'
import { curveSvg } from '../bench/report/svg.ts'
import { markdownTable, textTable } from '../bench/report/table.ts'
import { SCENARIOS } from '../bench/scenarios/list.ts'
import { trackLeaks } from './helpers/leaks.ts'
import { skipBecause } from './helpers/require.ts'

const RUN = fileURLToPath(new URL('../bench/run.ts', import.meta.url))
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

/** Gateways that fail are told of as such; whatever is ours has to work. */
function checkScenario(t: Test, { name, metrics, curve, results }: ScenarioResult): void {
  t.ok(results.length > 0, `${name} has peers`)
  for (const { peer, rounds, failed, skipped } of results) {
    const what = `${name}, ${peer}`
    if (skipped !== undefined) {
      t.match(skipped, /cannot stand in front|not installed|has no --metrics/, `${what}: ${skipped}`)
      continue
    }
    if (failed !== undefined && ['mcp-proxy', 'supergateway'].includes(peer)) continue
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
  const profiles = readdirSync(path.join(folder, 'small')).filter(name => name.endsWith('.cpuprofile'))
  t.equal(profiles.length, 1, 'a profile of this catflap')
})

t.test('Ctrl-C ends everything', { skip, timeout: 60_000 }, async t => {
  trackLeaks(t)
  const folder = await folderFor(t)
  const args = [...BENCH, '--scenarios', 'stdio,small', '--seconds', '60']
  const bench = spawn('env', args, {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, TMPDIR: folder }
  })
  const exited = once(bench, 'exit')
  let said = ''
  bench.stderr.setEncoding('utf8').on('data', text => {
    said += text
    if (said.includes('small:')) bench.kill('SIGINT')
  })
  const [code] = await exited
  t.equal(code, 130)
  t.strictSame(leftBehind(folder), [], 'its files are gone')
})

t.test('a wrong option is named, with what is allowed', async t => {
  const cases = [
    [['--rounds', 'none'], /--rounds: 'none' is not allowed; give a whole number from 1/],
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

t.test('a machine without the programs is told what to install', async t => {
  t.strictSame(missingPrograms(['no-such-program-for-sure']), ['no-such-program-for-sure'])
  const env = { ...process.env, PATH: '' }
  const { status, stderr } = spawnSync(process.execPath, ['--no-warnings', RUN], {
    encoding: 'utf8',
    env,
    timeout: 30_000
  })
  t.equal(status, 1)
  t.match(stderr, /not found; on Debian: apt-get install .*wrk/)
})

t.test(
  'latencies at a fixed rate count from the moment a request should have been sent',
  { timeout: 30_000 },
  async t => {
    trackLeaks(t)
    // Answers come one at a time, 20 ms each: at 100 a second every request waits longer than the one before.
    let turn = Promise.resolve()
    const server = createServer((req, res) => {
      req.resume()
      turn = turn.then(() => new Promise(resolve => setTimeout(resolve, 20))).then(() => void res.end(RESULT))
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.teardown(() => server.close())
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`
    const request = post(postHead(url, HEADERS), CALL)
    const load = { url, request, rate: 100, ms: 500, warm: 0, connections: 2, until: 'end' } as const
    const { planned, missing, p50, max } = await openLoop({ ...load, expected: RESULT })
    t.strictSame({ planned, missing }, { planned: 50, missing: 0 })
    t.ok(max >= 450, `the last waited for all before it: ${max}`)
    t.ok(p50 >= 200, `half of them for half of all: ${p50}`)
    await t.rejects(openLoop({ ...load, expected: 'something else' }), /50 of 50 answers were wrong: status 200/)
    await t.rejects(
      expectAnswers(url, request, 'something else'),
      /a call: status 200, \d+ bytes that are not the server's/
    )
  }
)

t.test('the histogram knows a latency to one percent, from microseconds to minutes', async t => {
  const histogram = new Histogram()
  const values = [0.001, 0.05, 0.5, 3, 40.5, 777, 60_000]
  for (const value of values) histogram.add(value)
  t.equal(histogram.total, values.length)
  const thousand = new Histogram()
  for (let i = 1; i <= 1000; i++) thousand.add(i === 1000 ? 5_000 : 1)
  t.ok(thousand.percentile(99.9) < 2, 'one in a thousand is beyond 99.9 %')
  for (const [i, value] of values.entries()) {
    const found = histogram.percentile(((i + 1) * 100) / values.length)
    t.ok(Math.abs(found - value) <= value * 0.01, `${value} is found as ${found}`)
  }
  t.equal(histogram.percentile(100), 60_000)
})

t.test('responses are understood wherever they are cut', async t => {
  const wire = Buffer.from(
    'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst' +
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nsec\r\n003;x=y\r\nond\r\n0\r\nTrailer: 1\r\n\r\n' +
      'HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\nto the end'
  )
  for (let cut = 1; cut <= wire.length; cut++) {
    const said: string[] = []
    let body = ''
    const parser = new ResponseParser({
      onHead: status => said.push(String(status)),
      onBody: chunk => void (body += chunk),
      onEnd: () => {
        said.push(body)
        body = ''
      }
    })
    for (let at = 0; at < wire.length; at += cut) parser.push(wire.subarray(at, at + cut))
    parser.close()
    t.strictSame(said, ['200', 'first', '200', 'second', '202', '', '200', 'to the end'], `pieces of ${cut}`)
  }
  const cutShort = new ResponseParser({ onEnd() {} })
  cutShort.push(Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfir'))
  t.throws(() => cutShort.close(), /ended within a response/)
  t.throws(() => new ResponseParser({ onEnd() {} }).push(Buffer.from('no HTTP\r\n\r\n')), /no HTTP response/)
})

t.test('a load whose connections stood still is no result', async t => {
  const load = { connections: 8, ms: 1_500 }
  const result = { requests: 8, rate: 5, bytes: 5_000, p50: 7, p99: 19, p999: 19 }
  t.throws(() => expectBusy(result, load), /stood still: 8 answers in 1500 ms on 8 connections/)
  const busy = { ...result, requests: 900 }
  t.equal(expectBusy(busy, load), busy)
  const slow = { ...result, requests: 1, p999: 900 }
  t.equal(expectBusy(slow, load), slow, 'a server that takes so long is only slow')
})

t.test('a tape without an exchange, or with other bytes, is found out', async t => {
  const folder = await folderFor(t)
  const file = path.join(folder, 'tape.jsonl')
  const frame = (n: number, dir: 'up' | 'down', text: string): string =>
    JSON.stringify({ n, t: n, side: 'client', dir, kind: 'message', stream: `post-${n}`, text })
  const up = (n: number): string => frame(n, 'up', filled(CALL_TEMPLATE, 10_000_000 + n))
  const expecting = { request: CALL_TEMPLATE, answer: RESULT, firstId: 10_000_000, exchanges: 2 }
  const check = async (...lines: string[]): Promise<number> => {
    await writeFile(file, `${lines.join('\n')}\n`)
    return checkTape(file, expecting)
  }
  const down = (n: number): string => frame(n, 'down', RESULT)
  t.equal(await check(up(1), up(2), down(2), down(1), up(3)), 2)
  await t.rejects(check(up(1), down(1), up(2)), /2 exchanges were answered, 1 are on the tape/)
  await t.rejects(check(up(1), frame(1, 'down', `${RESULT} `)), /the answer on stream post-1 is not what was answered/)
  await t.rejects(check(up(1).replace('Lisbon', 'Lisbao')), /request 10000001 on the tape is not what was sent/)
  await t.rejects(check('{"kind":"note","note":"dropped"}'), /frames were dropped/)
})

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
  const page = readFileSync(path.join(DOCS, 'performance.md'), 'utf8')
  const raw = JSON.parse(readFileSync(path.join(DOCS, 'performance/run.json'), 'utf8')) as Run
  t.equal(filledPage(page, raw), page, 'run: node bench/write.ts docs/performance/run.json')
  for (const [name, svg] of pictures(raw))
    t.equal(readFileSync(path.join(DOCS, 'performance', name), 'utf8'), svg, name)
  t.ok(goalsOf(raw).length > 0)
  t.throws(() => filledPage('<!-- bench what -->\n<!-- /bench -->', raw), /a block 'what' that nobody fills/)
})
