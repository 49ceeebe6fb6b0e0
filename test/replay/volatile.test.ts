import t from 'tap'
import { AnswerRules } from '../../src/replay/answer-rules.ts'
import { parseJson } from '../../src/replay/canonical.ts'
import { DEFAULT_RULES } from '../../src/replay/rules.ts'
import { differInVolatile, noiseOf } from '../../src/replay/volatile.ts'

const BEFORE = Date.parse('2026-11-23T12:00:00Z')
const AFTER = Date.parse('2027-01-05T08:00:00Z')
const MOMENTS = { before: BEFORE, after: AFTER }

t.test('which kind would make two values equal', async t => {
  for (const [kind, before, after] of [
    ['time', 'at 2026-11-23T12:00:01.123Z.', 'at 2027-01-05T08:00:00+00:00.'],
    ['time', '2026-11-23', '2027-01-05'],
    ['time', 'Mon, 23 Nov 2026 15:42:27 GMT', 'Tue, 05 Jan 2027 08:00:00 GMT'],
    [
      'time',
      'Mon Nov 23 2026 15:42:27 GMT+0000 (Coordinated Universal Time)',
      'Tue Jan 05 2027 08:00:00 GMT+0000 (CET)'
    ],
    ['time', 'Mon Nov 23 15:42:27 UTC 2026', 'Tue Jan  5 08:00:00 UTC 2027'],
    ['time', '2026-11-23 12:00:01 UTC', '2027-01-05 08:00:00 UTC'],
    ['time', BEFORE + 5, AFTER + 12_345],
    ['time', BEFORE / 1000, AFTER / 1000 + 1.5],
    ['time', `t=${BEFORE}`, `t=${AFTER}`],
    ['uuid', 'id 3f2504e0-4f89-41d3-9a0c-0305e82c3301', 'id 9A0C04E0-4f89-41d3-9a0c-0305e82c3302'],
    ['port', 'http://127.0.0.1:3456/mcp', 'http://127.0.0.1:7890/mcp'],
    ['path', 'wrote /tmp/x-Ab12/out.txt', 'wrote /tmp/x-Zz99/out.txt'],
    ['path', 'C:\\Users\\ann\\a.txt', 'C:\\Users\\bob\\a.txt'],
    ['number', 'took 12 ms', 'took 1.5 ms'],
    ['number', 5, 7]
  ] as const)
    t.same(noiseOf(before, after, MOMENTS), [kind], String(before))
})

t.test('a rule for times of day that was learned in the morning holds at night', async t => {
  const at = (hour: number, minute: number): Date => new Date(2026, 10, 23, hour, minute, 40)
  const [morning, later, night] = [at(9, 20), at(9, 21), at(21, 5)].map(
    d => `made at ${d.toLocaleTimeString('en-US')}!`
  )
  t.not(morning, later)
  const kinds = noiseOf(morning, later, MOMENTS)
  t.same(kinds, ['time'])
  t.ok(differInVolatile(morning, night, kinds!))
  for (const text of ['at 9:05', 'at 9:05 PM', 'at 12:00:01.5 a.m.', 'at 09:05:00pm', 'at 23:59'])
    t.ok(differInVolatile('at 10:00', text, ['time']), text)
  for (const text of ['at 9:05 PMs', 'at 9:05x', 'at 1:2', 'at 9:05 o', '123:45'])
    t.notOk(differInVolatile('at 10:00', text, ['time']), text)
})

t.test('several kinds, where one is not enough', async t => {
  t.same(
    noiseOf(
      '3f2504e0-4f89-41d3-9a0c-0305e82c3301 at 2026-11-23',
      '3f2504e0-4f89-41d3-9a0c-0305e82c3302 at 2027-01-05',
      MOMENTS
    ),
    ['uuid', 'time']
  )
})

t.test('what is no noise', async t => {
  for (const [before, after] of [
    ['a', 'b'],
    ['1', 1],
    [true, false],
    [null, 'x'],
    [{ a: 1 }, { a: 2 }],
    ['2026-11-23 a', '2027-01-05 b']
  ])
    t.equal(noiseOf(before, after, MOMENTS), undefined)
})

t.test('a time that is not near when it was said is content', async t => {
  t.equal(differInVolatile('1969-07-20T20:17:00Z', '1969-07-20T20:17:01Z', ['time'], MOMENTS), false)
  t.equal(differInVolatile('1969-07-20T20:17:00Z', '1969-07-20T20:17:01Z', ['time']), true)
  t.equal(differInVolatile(BEFORE, BEFORE + 1, ['time'], MOMENTS), false)
  t.equal(differInVolatile('at 12:00:00', 'at 13:00:00', ['time']), true)
  t.equal(differInVolatile('at 12:00:00', 'at 13:00:00', ['time'], MOMENTS), false)
  t.equal(differInVolatile('2026-99-99', '2026-98-99', ['time']), false)
})

t.test('nanoseconds, which no double holds', async t => {
  const [before, after] = [BEFORE, AFTER].map(ms => parseJson(`${ms}123457`))
  t.same(noiseOf(before, after, MOMENTS), ['time'])
  t.same(noiseOf(parseJson('12345678901234567891'), parseJson('12345678901234567892'), MOMENTS), ['number'])
})

t.test('hostile texts take no time', async t => {
  for (const part of [
    '/a',
    '1',
    '-',
    '2026-11-23 ',
    '::1]:',
    'C:\\a ',
    'Mon Nov ',
    '\\',
    'aaaaaaaa-',
    'file:///',
    '1.',
    '1e'
  ])
    t.ok(noiseOf(part.repeat(100_000), `${part.repeat(100_000)}!x`, MOMENTS) === undefined)
})

const said = (text: unknown) => ({ result: { content: [{ type: 'text', text }] } })

t.test('built-in: uuids, and times near the moment, are alike; all else is compared', async t => {
  const rules = new AnswerRules(DEFAULT_RULES)
  const compared = { method: 'tools/call', name: 'x', moments: MOMENTS }
  const count = (a: unknown, b: unknown): number => rules.differences(said(a), said(b), compared).length
  t.equal(count('id 3f2504e0-4f89-41d3-9a0c-0305e82c3301', 'id 9A0C04E0-4f89-41d3-9a0c-0305e82c3302'), 0)
  t.equal(count('2026-11-23T12:00:01Z', '2027-01-05T08:00:02Z'), 0)
  t.equal(count('1969-07-20T20:17:00Z', '1969-07-20T20:17:01Z'), 1)
  t.equal(count('took 1 ms', 'took 2 ms'), 1)
  t.equal(rules.differences(said('2026-11-23'), said('2027-01-05'), { method: 'tools/call' }).length, 1)
  const off = new AnswerRules({ ...DEFAULT_RULES, defaults: false })
  t.equal(off.differences(said('2026-11-23'), said('2027-01-05'), compared).length, 1)
})

t.test('rules: for their method and name, at their places', async t => {
  const rules = new AnswerRules({
    defaults: true,
    requests: [],
    answers: [
      { method: 'tools/*', name: 'x', patterns: { '/result/content/*/text': ['number', { regex: 'a+' }] } },
      { ignore: ['/result/took', '/result/_meta'], unordered: ['/result/list'] }
    ]
  })
  const about = { method: 'tools/call', name: 'x' }
  t.equal(rules.differences(said('1 2'), said('3 4'), about).length, 0)
  t.equal(rules.differences(said('aa'), said('aaaa'), about).length, 0)
  t.equal(rules.differences(said('aa'), said('b'), about).length, 1)
  t.equal(rules.differences(said('1'), said('2'), { ...about, name: 'y' }).length, 1)
  t.same(
    rules.differences({ result: { took: 1 } }, { result: { _meta: {}, list: [] } }, about).map(d => d.path),
    ['result.list']
  )
  t.same(rules.differences({ result: { list: [1, 2] } }, { result: { list: [2, 1] } }, { method: 'x' }), [])
})
