/** Lists, page by page: what has changed in them is found, wherever the pages end. */
import t, { type Test } from 'tap'
import { parseRules, type Rules } from '../../src/replay/rules.ts'
import { junitOf } from '../../src/verify/junit-report.ts'
import type { VerifyOptions } from '../../src/verify/options.ts'
import type { VerifyReport } from '../../src/verify/report.ts'
import { reportLines } from '../../src/verify/text-report.ts'
import { type Asked, scripted } from '../fixtures/servers/scripted.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { down, type FrameFacts, request, result, tapeOf, up } from '../replay/recording-door.ts'
import { check, found } from './verify-stage.ts'

type Page = readonly (string | object)[]
type List = readonly Page[]

const toolsOf = (page: Page): object[] =>
  page.map(tool => (typeof tool === 'string' ? { name: tool, inputSchema: { type: 'object' } } : tool))

const answer = (list: List, at: number, cursor: string): object => ({
  tools: toolsOf(list[at] ?? []),
  ...(at + 1 < list.length && { nextCursor: `${cursor}${at + 1}` })
})

/** A client that asks for these lists in turn, with all their pages, or the first `seen` of them. */
function asking(t: Test, lists: readonly List[], seen = 100): string {
  let id = 0
  const frames = lists.flatMap(list =>
    list.slice(0, seen).flatMap((_, at): FrameFacts[] => {
      const asked = request(++id, 'tools/list', at === 0 ? {} : { cursor: `c${at}` })
      return [up('stdio', asked), down('stdio', result(id, answer(list, at, 'c')))]
    })
  )
  return tapeOf(t, frames)
}

/** A server that has the first of these lists for the first who asks, and so on. */
async function serving(t: Test, lists: readonly List[]): Promise<{ url: string; asked: readonly Asked[] }> {
  let n = -1
  return scripted(t, ({ method, params }) => {
    if (method !== 'tools/list') return {}
    const at = Number(/\d+$/.exec(String(params?.cursor ?? ''))?.[0] ?? 0)
    if (at === 0) n++
    return answer(lists[Math.min(n, lists.length - 1)]!, at, 'now')
  })
}

interface Row {
  readonly before: readonly List[]
  readonly after: readonly List[]
  readonly changes: readonly string[]
  readonly seen?: number
}

const ROWS: Readonly<Record<string, Row>> = {
  'fewer pages, nothing else': { before: [[['a', 'b'], ['c']]], after: [[['a', 'b', 'c']]], changes: [] },
  'more pages, nothing else': { before: [[['a', 'b', 'c']]], after: [[['a'], ['b'], ['c']]], changes: [] },
  'pages cut elsewhere': {
    before: [
      [
        ['a', 'b'],
        ['c', 'd']
      ]
    ],
    after: [[['a'], ['b', 'c'], ['d']]],
    changes: []
  },
  'the last page is gone with what stood on it': {
    before: [[['a', 'b'], ['c'], ['d']]],
    after: [[['a', 'b']]],
    changes: ['removed c', 'removed d']
  },
  'a page more with something new': { before: [[['a']]], after: [[['a'], ['b']]], changes: ['added b'] },
  'only the first of two lists has lost something': {
    before: [
      [['a'], ['b']],
      [['a'], ['b']]
    ],
    after: [[['a']], [['a'], ['b']]],
    changes: ['removed b']
  },
  'only the first of two lists says something else': {
    before: [
      [['a'], ['b']],
      [['a'], ['b']]
    ],
    after: [
      [['a'], [{ name: 'b', inputSchema: { type: 'object' }, title: 'other' }]],
      [['a'], ['b']]
    ],
    changes: ['changed b']
  },
  'both have lost the same, which is told once': {
    before: [[['a', 'b']], [['a', 'b']]],
    after: [[['a']]],
    changes: ['removed b']
  },
  'a tool that stands there twice, and one without a name': {
    before: [[['a']]],
    after: [[['a', 'a', { title: 'x' }]]],
    changes: ['added a', 'added {"title":"x"}']
  },
  'its client had not asked for all: what it saw is looked for, what is new may be old': {
    before: [[['a', 'b'], ['c']]],
    after: [[['new', 'a'], ['b'], ['c']]],
    seen: 1,
    changes: []
  },
  'its client had not asked for all, and what it saw is nowhere': {
    before: [[['a', 'b'], ['c']]],
    after: [[['a'], ['c']]],
    seen: 1,
    changes: ['removed b']
  }
}

for (const [name, { before, after, changes, seen }] of Object.entries(ROWS))
  t.test(`pages: ${name}`, async t => {
    trackLeaks(t)
    const file = asking(t, before, seen)
    for (const driftOnly of [false, true]) {
      const server = await serving(t, after)
      const report = await check(file, { url: server.url }, { driftOnly })
      t.same(driftOf(report), changes)
      t.equal(report.outcome, changes.length > 0 ? 'different' : 'same')
    }
  })

function driftOf({ drift }: VerifyReport): string[] {
  return drift.changes.map(c => `${c.change} ${c.name}`)
}

t.test('a list of which the rest cannot be had is a difference, and nothing in it is called gone', async t => {
  trackLeaks(t)
  const file = asking(t, [[['a', 'b', 'c']]])
  let asked = 0
  const server = await scripted(t, () => (++asked === 1 ? { tools: toolsOf(['a']), nextCursor: 'x' } : undefined))
  for (const options of [{}, { driftOnly: true, failOn: 'breaking' }] satisfies Partial<VerifyOptions>[]) {
    asked = 0
    const report = await check(file, { url: server.url }, { ...options, timeout: 300 })
    t.match(report, { outcome: 'different', drift: { changes: [] } })
    t.match(found(report), [/tools\/list : pages: "the end of the list" → "a further page, which gets no answer"/])
  }
})

t.test('a list without end is followed for a while', async t => {
  trackLeaks(t)
  const file = asking(t, [[['a']]])
  const server = await scripted(t, () => ({ tools: toolsOf(['a']), nextCursor: 'again' }))
  const report = await check(file, { url: server.url })
  t.equal(report.outcome, 'different')
  t.match(found(report), [/more than 100 further pages/])
})

t.test('rules for a place in a list count for what stood there on the tape', async t => {
  trackLeaks(t)
  const tool = (name: string, description: string): object => ({ name, description })
  const file = asking(t, [[[tool('a', 'then'), tool('b', 'then'), tool('c', 'then')]]])
  const rules = (pointer: string): Rules =>
    parseRules(`version: 1\nanswers:\n  - method: tools/list\n    ignore: [${pointer}]\n`, 'r.yaml')
  const server = await serving(t, [[[tool('a', 'now'), tool('b', 'then'), tool('c', 'now')]]])
  for (const [pointer, changes] of [
    ['/result/tools/2/description', ['changed a']],
    ['/result/tools/0/description', ['changed c']],
    ['/result/tools/0', ['changed c']],
    ['/result/tools/*/description', []],
    ['/result/tools', []]
  ] as const)
    for (const driftOnly of [false, true]) {
      const report = await check(file, { url: server.url }, { rules: rules(pointer), driftOnly })
      t.same(driftOf(report), changes, pointer)
    }
  const fewer = await serving(t, [[[tool('c', 'then')]]])
  const report = await check(file, { url: fewer.url }, { rules: rules('/result/tools/0'), driftOnly: true })
  t.same(driftOf(report), ['removed b'], 'a rule for one of them hides no other')
})

t.test('what a list holds is told once, in the text and in JUnit', async t => {
  trackLeaks(t)
  const schema = (values: readonly string[]): object => ({
    name: 'a',
    inputSchema: { type: 'object', properties: { kind: { enum: values } } }
  })
  const file = asking(t, [[[schema(['x', 'y'])]]])
  const narrowed = await serving(t, [[[schema(['x'])]]])
  const report = await check(file, { url: narrowed.url })
  const text = reportLines(report)
  t.equal(text.filter(line => line.includes('enum')).length, 1)
  t.match(text.join('\n'), /DIFFERENT {2}tools\/list .*: what it lists has changed, see below/)
  t.match(text.join('\n'), /BREAKING {2}tool "a": .*"y" is accepted no more/)
  const xml = junitOf(report)
  t.equal(xml.filter(line => line.includes('<failure')).length, 1)
  t.match(xml.join('\n'), /<testsuite name="drift" tests="1" failures="1"/)

  const titled = await serving(t, [[[{ ...schema(['x', 'y']), title: 'T' }]]])
  for (const [failOn, failures] of [
    ['any', 1],
    ['breaking', 0]
  ] as const) {
    const other = await check(file, { url: titled.url }, { failOn })
    t.equal(other.outcome, failures > 0 ? 'different' : 'same')
    t.equal(junitOf(other).filter(line => line.includes('<failure')).length, failures, failOn)
  }
})
