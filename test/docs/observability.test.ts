/** docs/observability.md and the instruments say the same. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import t from 'tap'
import { MAX_SERIES } from '../../src/metrics/cells.ts'
import { INSTRUMENTS, type InstrumentName, prometheusName } from '../../src/metrics/instruments.ts'
import { skipWithout } from '../helpers/require.ts'

const page = readFileSync(new URL('../../docs/observability.md', import.meta.url), 'utf8')
const rows = page
  .split('\n')
  .filter(line => line.startsWith('| `'))
  .map(line =>
    line
      .split('|')
      .map(cell => cell.trim())
      .slice(1, -1)
  )
const bare = (cell = ''): string => cell.replaceAll('`', '')
const queries = [...page.matchAll(/```promql\n(.*)\n```/g)].map(m => m[1]!)

t.test('every metric is documented as it is, and nothing else is', async t => {
  const documented = rows.filter(row => row.length === 6)
  t.same(
    documented.map(row => bare(row[0])),
    Object.keys(INSTRUMENTS)
  )
  for (const [name = '', inText, type, unit, labels, meaning] of documented) {
    const instrument = INSTRUMENTS[bare(name) as InstrumentName]
    t.equal(bare(inText), prometheusName(bare(name) as InstrumentName))
    t.same([type, unit], [instrument.type, instrument.unit], name)
    t.same(bare(labels), instrument.labels.join(', ') || 'none', name)
    t.ok(meaning, name)
  }
})

t.test('every label is documented, and nothing else is', async t => {
  const documented = rows.filter(row => row.length === 2)
  const used = new Set(Object.values(INSTRUMENTS).flatMap(i => [...i.labels]))
  t.same(documented.map(row => bare(row[0])).toSorted(), [...used].toSorted())
  for (const [label = '', values] of documented) t.ok(values, label)
})

t.test('every instrument can be read by people', async t => {
  for (const [name, { help, unit }] of Object.entries(INSTRUMENTS)) {
    t.match(name, /^[a-z0-9_.]+$/)
    t.match(unit, /^(s|By|\{[a-z]+\})$/, name)
    t.ok(help.length > 5 && !help.includes('\n'), name)
  }
  t.match(page, `at most ${MAX_SERIES} series`)
})

t.test('the queries ask for what there is', async t => {
  t.equal(queries.length, 3)
  const names = Object.keys(INSTRUMENTS).map(name => prometheusName(name as InstrumentName))
  const labels = new Set(Object.values(INSTRUMENTS).flatMap(i => i.labels.map(label => label.replaceAll('.', '_'))))
  for (const query of queries) {
    const asked = [...query.matchAll(/\b((?:mcp|catflap|nodejs|process)_\w+)[{[]/g)].map(m => m[1]!)
    t.ok(asked.length > 0)
    for (const name of asked) t.ok(names.includes(name.replace(/_(?:bucket|count|sum)$/, '')), name)
    for (const [, label = ''] of query.matchAll(/(\w+)!?=/g)) t.ok(labels.has(label), label)
  }
})

t.test('the queries are PromQL', { skip: skipWithout('promtool') }, async t => {
  const dir = mkdtempSync(path.join(tmpdir(), 'catflap-promql-'))
  t.teardown(() => rmSync(dir, { recursive: true }))
  const file = path.join(dir, 'rules.yml')
  const rules = queries.map((expr, i) => ({ record: `q:${i}`, expr }))
  // JSON is YAML.
  writeFileSync(file, JSON.stringify({ groups: [{ name: 'page', rules }] }))
  const { status, stdout, stderr } = spawnSync('promtool', ['check', 'rules', file], { encoding: 'utf8' })
  t.equal(status, 0, stdout + stderr)
})
