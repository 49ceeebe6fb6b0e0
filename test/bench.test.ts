/** That the benchmark runs, and nothing about how fast anything is. */
import { execFile, spawnSync } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { missingPrograms } from '../bench/process.ts'
import { median, table } from '../bench/report.ts'
import { skipBecause } from './helpers/require.ts'

const RUN = fileURLToPath(new URL('../bench/run.ts', import.meta.url))
const missing = missingPrograms(['nginx', 'wrk'])
const skip = missing.length > 0 && skipBecause(`${missing.join(' and ')} not found`)

interface Raw {
  readonly results: readonly { readonly peer: string; readonly rounds: readonly unknown[]; readonly failed?: string }[]
}

t.test('every peer relays the session, bears the load and is in table and raw data', { skip }, async t => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'catflap-bench-test-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const out = path.join(folder, 'raw.json')
  const args = ['--no-warnings', RUN, '--rounds', '1', '--seconds', '1', '--connections', '2', '--out', out]
  const { stdout } = await promisify(execFile)(process.execPath, args)
  const { results } = JSON.parse(await readFile(out, 'utf8')) as Raw
  t.strictSame(
    results.map(r => r.peer),
    ['direct', 'relay', 'bare-relay', 'catflap', 'catflap-recording']
  )
  for (const { peer, rounds, failed } of results) {
    t.equal(failed, undefined, peer)
    t.equal(rounds.length, 1, peer)
    t.match(stdout, new RegExp(`^${peer} +\\d`, 'm'))
  }
})

t.test('a wrong option is named, with what is allowed', async t => {
  const cases = [
    [['--rounds', 'none'], /--rounds: 'none' is not allowed; give a whole number from 1/],
    [['--peers', 'relay,what'], /--peers: 'what' is not known; choose from direct, relay/]
  ] as const
  for (const [args, said] of cases) {
    const { status, stderr } = spawnSync(process.execPath, ['--no-warnings', RUN, ...args], { encoding: 'utf8' })
    t.equal(status, 2)
    t.match(stderr, said)
  }
})

t.test('a machine without the programs is told what to install', async t => {
  t.strictSame(missingPrograms(['no-such-program-for-sure']), ['no-such-program-for-sure'])
})

t.test('ratios are those of medians; a peer that failed is shown with the reason', async t => {
  t.equal(median([9, 1, 5]), 5)
  t.equal(median([4, 1, 2, 3]), 2.5)
  const round = (rate: number) => ({ rate, p50: 1, p99: 2, cpu: undefined })
  const text = table(
    [
      { peer: 'relay', rounds: [round(100), round(200), round(300)] },
      { peer: 'other', rounds: [round(300), round(301), round(1)] },
      { peer: 'broken', rounds: [], failed: 'it broke' }
    ],
    'relay'
  )
  t.match(text, /^other +300 +1 – 301 +1\.50 /m)
  t.match(text, /^broken +failed +it broke/m)
})
