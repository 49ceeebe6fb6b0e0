import t from 'tap'
import { ByLabel, counters, histograms, MAX_SERIES } from '../../src/metrics/cells.ts'
import { Names } from '../../src/metrics/names.ts'

t.test('a value belongs to the first bucket whose bound it does not exceed', async t => {
  const cell = histograms('mcp.server.operation.duration').add({})
  for (const value of [0, 0.01, 0.010001, 300, 300.5]) cell.record(value)
  t.same([...cell.counts], [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1])
  t.equal(cell.count, 5)
  t.ok(Math.abs(cell.sum - 600.520001) < 1e-9)
})

t.test('beyond the limit all new series are one, which says so', async t => {
  const series = counters('catflap.errors')
  const byLabel = new ByLabel(series, 'error.type')
  for (let i = 0; i < 3 * MAX_SERIES; i++) byLabel.of(`e${i}`).value++
  t.equal(series.cells.length, MAX_SERIES)
  const last = series.cells.at(-1)!
  t.same(last.attributes, { 'otel.metric.overflow': 'true' })
  t.equal(last.value, 2 * MAX_SERIES + 1)
  byLabel.of('e0').value++
  t.equal(series.cells[0]!.value, 2, 'those that were there go on')
})

t.test('names that never worked find room in a quarter of it, and those that did in the rest', async t => {
  const names = new Names(8, name => ({ name }), new Set(['fixed']))
  const of = (name: string, proven: boolean) => (names.find(name) ?? names.admit(name, proven, () => true)).name
  for (let i = 0; i < 100; i++) of(`bad ${i}`, false)
  t.equal(names.size, 2)
  t.equal(of('bad 0', false), 'bad 0')
  t.equal(of('bad 50', false), 'other')
  const good = Array.from({ length: 10 }, (_, i) => of(`good ${i}`, true))
  t.same(good.slice(5), ['good 5', ...Array(4).fill('other')])
  t.equal(of('fixed', false), 'fixed', 'needs no room')
  t.equal(names.size, 9)
})

t.test('what cannot be read is no label', async t => {
  const names = new Names(100, name => name)
  for (const name of ['', 'x'.repeat(129), 'a\nb', 'a\0b', '\ud800', 'other'])
    t.equal(
      names.admit(name, true, () => true),
      'other'
    )
  t.equal(
    names.admit('no name', true, () => false),
    'other'
  )
  t.equal(names.size, 0)
  t.equal(
    names.admit('Grüße "\\', true, () => true),
    'Grüße "\\'
  )
})
