import fc from 'fast-check'
import t from 'tap'
import { Histogram } from '../../src/tape/histogram.ts'
import { TapeStats } from '../../src/tape/stats.ts'
import { duration } from '../../src/tape/timeline.ts'
import { answer, call, conversation, run, runEach, tapeIn } from './tool-fixtures.ts'

t.test('stats: counts, errors of both kinds, latencies and bytes by method and tool', async t => {
  const file = await tapeIn(t)
  const { out, err, code } = await run(t, ['stats', file, file, '--json'])
  t.strictSame([code, err], [0, ''])
  const rows = out
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line))
  t.match(rows[0], {
    from: 'client',
    method: 'tools/call',
    subject: 'echo',
    count: 4,
    errors: 2,
    toolErrors: 0,
    answered: 4
  })
  const failing = rows.find(row => row.subject === 'fail')
  t.match(failing, { count: 2, errors: 0, toolErrors: 2 })
  t.ok(Math.abs(failing.p50 - 2000) < 25, String(failing.p50))
  t.equal(failing.up, 2 * Buffer.byteLength(conversation[2]!.text!))
  const table = await run(t, ['stats', file, '--sort', 'errors'])
  t.match(table.out.split('\n')[1], /^█+ +tools\/call (echo|fail) /)
})

t.test('stats: of a hundred latencies, p50 is the 50th, p95 the 95th and p99 the 99th', async t => {
  const slow = Array.from({ length: 100 }, (_, i) => ({ id: i + 1, ms: (i + 1) * 10 }))
  // The slowest comes first, so that no order of answers is taken for an order of latencies.
  const file = await tapeIn(
    t,
    slow.toReversed().flatMap(({ id, ms }, i) => {
      const start = i * 2000
      return [call(2 * i + 1, id, 'echo', {}, { t: start }), answer(2 * i + 2, id, {}, { t: start + ms })]
    })
  )
  const [json, table] = await runEach(t, [
    ['stats', file, '--json'],
    ['stats', file]
  ])
  const row = JSON.parse(json!.out)
  for (const [name, exact] of Object.entries({ p50: 500, p95: 950, p99: 990 }))
    t.ok(Math.abs(row[name] - exact) <= exact / 100, `${name}: ${row[name]}`)
  const [head, cells] = table!.out.split('\n').map(line => line.trim().split(/ {2,}/))
  const shown = ['p50', 'p95', 'p99'].map(name => cells!.at(head!.indexOf(name) - head!.length))
  t.strictSame(
    shown,
    [row.p50, row.p95, row.p99].map(ms => duration(ms))
  )
  t.equal(new Set(shown).size, 3)
})

t.test('stats hold a bounded number of names, and percentiles are right within 1 %', t => {
  const stats = new TapeStats()
  for (let i = 1; i <= 3000; i++) stats.add(call(i, i, `tool-${i}`))
  const rows = stats.rows()
  t.equal(rows.length, 1001)
  t.match(rows[0], { method: 'other', count: 2000 })
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0.01, max: 1e6, noNaN: true }), { minLength: 1 }), values => {
      const histogram = new Histogram()
      for (const value of values) histogram.add(value)
      const sorted = [...values].sort((a, b) => a - b)
      for (const q of [0.5, 0.95, 0.99]) {
        const exact = sorted[Math.max(1, Math.ceil(q * values.length)) - 1]!
        if (Math.abs(histogram.quantile(q)! - exact) > exact * 0.0101) return false
      }
      return true
    })
  )
  t.end()
})
