/** The parts that the benchmark is made of: load, checks, accounts, turns. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import os from 'node:os'
import path from 'node:path'
import t, { type Test } from 'tap'
import { Connection } from '../bench/load/connection.ts'
import { Histogram } from '../bench/load/histogram.ts'
import {
  CALL,
  CALL_TEMPLATE,
  callOfSize,
  filled,
  HEADERS,
  post,
  postHead,
  RESULT,
  SESSION_HEADER
} from '../bench/load/messages.ts'
import { openLoop } from '../bench/load/open-loop.ts'
import { ResponseParser } from '../bench/load/response-parser.ts'
import { expectAnswers } from '../bench/load/sessions.ts'
import { checkTape } from '../bench/load/tape.ts'
import { expectBusy } from '../bench/load/wrk.ts'
import { Owner } from '../bench/owner.ts'
import type { PeerKind } from '../bench/peers/peer.ts'
import { missingPrograms } from '../bench/peers/process.ts'
import { cpuOf } from '../bench/peers/usage.ts'
import { SMOKE } from '../bench/plan.ts'
import type { ScenarioResult } from '../bench/report/results.ts'
import { orderOf, runScenario } from '../bench/runner.ts'
import type { Scenario } from '../bench/scenarios/scenario.ts'
import { startNginxServer } from '../bench/servers/nginx.ts'
import { trackLeaks } from './helpers/leaks.ts'
import { skipBecause } from './helpers/require.ts'

const missing = missingPrograms(['nginx'])
const skip = missing.length > 0 && skipBecause(`${missing.join(' and ')} not found`)

async function folderFor(t: Test): Promise<string> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'catflap-bench-test-'))
  t.teardown(() => rm(folder, { recursive: true }))
  return folder
}

const FAKE: Scenario = {
  name: 'fake',
  title: 'Fake',
  says: '',
  metrics: [{ key: 'rate', label: 'rate', digits: 0, better: 'more' }],
  base: 'a',
  front: 'http',
  server: async () => ({ target: { url: 'http://127.0.0.1:1/mcp' } }),
  open: async (_peer, { name }) => ({
    round: () => (name === 'hangs' ? new Promise(() => {}) : Promise.resolve({ rate: 1 }))
  })
}

t.test('a peer that hangs costs a bounded time, and the others nothing', async t => {
  const folder = await folderFor(t)
  const stopped: string[] = []
  const kind = (name: string): PeerKind => ({
    name,
    says: '',
    fronts: ['http'],
    start: async () => ({
      ...{ url: '', startedIn: 0, cpu: () => undefined, rss: () => undefined },
      stop: async () => void stopped.push(name)
    })
  })
  const saved: ScenarioResult[] = []
  const { results } = await runScenario(FAKE, {
    plan: { ...SMOKE, rounds: 2, patience: 200 },
    kinds: ['a', 'hangs', 'b'].map(kind),
    folder,
    owner: new Owner(),
    startedAt: performance.now(),
    say: () => {},
    save: async soFar => void saved.push(soFar)
  })
  t.match(results, [
    { peer: 'a', rounds: { length: 2 }, failed: undefined },
    { peer: 'hangs', rounds: { length: 0 }, failed: 'this step: not within 200 ms' },
    { peer: 'b', rounds: { length: 2 }, failed: undefined }
  ])
  t.equal(stopped[0], 'hangs', 'and does not go on beside them')
  t.equal(saved.length, 2, 'what there is was saved after each round')
})

t.test('nobody is always the first, or always after the same', async t => {
  for (const count of [2, 3, 8, 12]) {
    const all = Array.from({ length: count }, (_, i) => i)
    const rounds = [0, 1, 2, 3, 4].map(i => orderOf(all, i, 5))
    for (const round of rounds)
      t.strictSame(
        round.toSorted((a, b) => a - b),
        all
      )
    const firsts = new Set(rounds.map(round => round[0]))
    t.equal(firsts.size, Math.min(count, 5), `${firsts.size} of ${count} begin`)
    for (const one of all) {
      const before = new Set(rounds.map(round => round[round.indexOf(one) - 1]))
      t.ok(before.size > 1, `${one} of ${count} comes after several`)
    }
  }
})

t.test('processor time is that of a process and of all it started, also of what has ended', async t => {
  trackLeaks(t)
  const burn = 'while (process.cpuUsage().user < 300_000);'
  const command = `'${process.execPath}' -e '${burn}'; echo done; read line`
  const shell = spawn('env', ['-u', 'NODE_OPTIONS', 'sh', '-c', command], { stdio: 'pipe' })
  const closed = once(shell, 'close')
  await once(shell.stdout, 'data')
  const cpu = cpuOf(shell.pid!)
  shell.stdin.end('\n')
  await closed
  if (process.platform === 'linux') t.ok(cpu! >= 250, `${cpu} ms`)
})

t.test('the server behind answers a large request when it has all of it', { skip }, async t => {
  trackLeaks(t)
  const server = await startNginxServer(await folderFor(t))
  t.teardown(() => server.stop())
  const body = filled(callOfSize(100_000), 1)
  const request = post(postHead(server.url, { ...HEADERS, [SESSION_HEADER]: 'any' }), body)
  const connection = new Connection(server.url)
  t.teardown(() => connection.close())
  let status = 0
  const text = new Promise<string>((resolve, reject) => {
    let said = ''
    const events = {
      onHead: (s: number) => void (status = s),
      onBody: (chunk: Buffer) => void (said += chunk),
      onEnd: () => resolve(said)
    }
    connection.send(request.slice(0, 50_000), events, reject)
  })
  // It has one worker: whatever it would say to the first half, it has said when it answers these.
  await expectAnswers(server.url, post(postHead(server.url, { ...HEADERS, [SESSION_HEADER]: 'any' }), CALL), RESULT)
  t.equal(status, 0)
  connection.socket.write(request.slice(50_000))
  t.equal(await text, RESULT)
  t.equal(status, 200)
})

t.test('who closes the connection with each answer is asked on a new one', { timeout: 30_000 }, async t => {
  trackLeaks(t)
  let connections = 0
  const server = createServer((req, res) => void req.resume().on('end', () => res.end(RESULT)))
  server.maxRequestsPerSocket = 1
  server.on('connection', () => connections++)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`
  const request = post(postHead(url, HEADERS), CALL)
  await expectAnswers(url, request, RESULT, { times: 5 })
  t.equal(connections, 5)
  const load = { url, request, expected: RESULT, rate: 200, ms: 200, warm: 0, connections: 4, until: 'end' } as const
  t.match(await openLoop(load), { planned: 40, missing: 0, wrong: 0 })
  t.equal(connections, 45)
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
