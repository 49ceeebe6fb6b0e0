import fc from 'fast-check'
import t from 'tap'
import { AnswerRules } from '../../src/replay/answer-rules.ts'
import { canonicalText, parseJson } from '../../src/replay/canonical.ts'
import { differences, differenceText } from '../../src/replay/json-diff.ts'
import { DEFAULT_RULES } from '../../src/replay/rules.ts'

const texts = (a: unknown, b: unknown): string[] => differences(a, b).map(differenceText)

t.test('members that were added, removed and changed', async t => {
  t.same(texts({ a: 1, b: { c: 'x' }, d: null }, { b: { c: 'y' }, d: null, e: [1] }), [
    'a: removed 1',
    'b.c: "x" → "y"',
    'e: added [1]'
  ])
  t.same(texts({ a: [] }, { a: {} }), ['a: [] → {}'])
  t.same(texts(1, '1'), ['the whole: 1 → "1"'])
  t.same(differences({ a: 1 }, {}), [{ path: 'a', kind: 'removed', old: 1 }])
})

t.test('numbers by value', async t => {
  t.same(texts(parseJson('[9007199254740993, 1.0]'), parseJson('[9007199254740993.0, 1]')), [])
  t.same(texts(parseJson('[9007199254740993]'), parseJson('[9007199254740992]')), [
    '[0]: 9007199254740993 → 9007199254740992'
  ])
})

t.test('one tool that was added is one difference, wherever it stands', async t => {
  const tool = (name: string, more = {}) => ({ name, inputSchema: { type: 'object' }, ...more })
  const before = { result: { tools: [tool('a'), tool('b'), tool('c')] } }
  t.same(
    differences(before, { result: { tools: [tool('new'), tool('a'), tool('b'), tool('c')] } }).map(d => [
      d.path,
      d.kind
    ]),
    [['result.tools[0]', 'added']]
  )
  t.same(texts(before, { result: { tools: [tool('a'), tool('c', { title: 'C' })] } }), [
    'result.tools[1]: removed {"name":"b","inputSchema":{"type":"object"}}',
    'result.tools[2].title: added "C"'
  ])
})

t.test('objects with names in another order: the order is the difference', async t => {
  t.same(texts([{ name: 'a', x: 1 }, { name: 'b' }], [{ name: 'b' }, { name: 'a', x: 2 }]), [
    'the whole: ["a","b"] → ["b","a"]',
    '[0].x: 1 → 2'
  ])
})

t.test('an element put into a list is one difference', async t => {
  t.same(texts(['a', 'b', 'c'], ['a', 'x', 'b', 'c']), ['[1]: added "x"'])
  t.same(texts(['a', 'b', 'c', 'd'], ['a', 'd']), ['[1]: removed "b"', '[2]: removed "c"'])
  t.same(texts([1, 2, 3], [1, 9, 3]), ['[1]: 2 → 9'])
})

t.test('arrays whose order does not count', async t => {
  const options = { unordered: () => true }
  t.same(differences({ a: [1, 2, { b: [3, 4] }] }, { a: [{ b: [3, 4] }, 2, 1] }, options), [])
  t.same(differences([1, 2, 2], [2, 1, 1], options).map(differenceText), ['[2]: 2 → 1'])
  t.same(differences([{ name: 'a' }, { name: 'b' }], [{ name: 'b' }, { name: 'a' }], options), [])
  const ignore = (path: readonly (string | number)[]) => path.at(-1) === 'at'
  t.same(
    differences(
      [
        { v: 1, at: 1 },
        { v: 2, at: 2 }
      ],
      [
        { v: 2, at: 3 },
        { v: 1, at: 4 }
      ],
      { ...options, ignore }
    ),
    []
  )
})

t.test('what is ignored, absent or not', async t => {
  const ignore = (path: readonly (string | number)[]) => path.join('/') === 'a/0/t'
  t.same(differences({ a: [{ t: 1 }] }, { a: [{ t: 2 }] }, { ignore }), [])
  t.same(differences({ a: [{}] }, { a: [{ t: 2 }] }, { ignore }), [])
  t.same(differences({ a: [{ t: 1 }, 1] }, { a: [{}, 1, 2] }, { ignore }).map(differenceText), [
    '[a]: added 2'.replace('[a]', 'a[2]')
  ])
})

t.test('long texts show where they differ', async t => {
  const long = 'x'.repeat(1000)
  const [line] = texts({ a: `${long}1${long}` }, { a: `${long}2${long}` })
  t.match(line, /^a: …"x{20}1x+…?"?.* → …"x{20}2x+/)
  t.match(line, /from character 981 of 2001 and 2001/)
  t.ok(line!.length < 300)
})

t.test('one line, safe for a terminal', async t => {
  const [line] = texts({ '\u001b[31m': '\u001b]0;x\u0007\n' }, { '\u001b[31m': '\u202e' })
  t.notMatch(line, /[\u0000-\u001f\u202e]/)
  for (const value of ['y'.repeat(1e6), Array(1e6).fill(1), { a: { b: Array(1e5).fill('z'.repeat(100)) } }])
    t.ok(texts([value], [1])[0]!.length < 200)
})

t.test('a limit', async t => {
  t.equal(differences(Array(1000).fill(1), Array(1000).fill(2)).length, 100)
  t.equal(differences(Array(1000).fill(1), Array(1000).fill(2), { limit: 3 }).length, 3)
})

t.test('large lists take no time', async t => {
  const list = (from: number) => Array.from({ length: 100_000 }, (_, i) => ({ v: from + i, deep: { x: [i] } }))
  t.equal(differences(list(0), list(0)).length, 0)
  t.equal(differences(list(0), [{}, ...list(0)]).length, 1)
  t.equal(differences(list(0), list(1), { unordered: () => true, limit: 5 }).length, 5)
})

t.test('no difference where values are equal, and else some', async () => {
  const json = fc.jsonValue({ maxDepth: 4 })
  fc.assert(
    fc.property(json, json, (a, b) => {
      const equal = canonicalText(a) === canonicalText(b)
      return differences(a, a).length === 0 && (differences(a, b).length === 0) === equal
    })
  )
})

const named = fc.uniqueArray(fc.record({ name: fc.constantFrom('a', 'b', 'c', 'd'), v: fc.nat(2) }), {
  selector: x => x.name
})

t.test('lists of names: no difference only where they are equal', async () => {
  fc.assert(
    fc.property(named, named, (a, b) => (differences(a, b).length === 0) === (canonicalText(a) === canonicalText(b)))
  )
})

/** Puts the new value at the place that a difference names. Only of objects, whose places do not move. */
t.test('applying what is said to have changed gives the other value', async () => {
  const object = fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.dictionary(fc.constantFrom('x', 'y'), fc.nat(3)))
  fc.assert(
    fc.property(object, object, (a, b) => {
      const out = structuredClone(a) as Record<string, unknown>
      for (const { path, kind, new: now } of differences(a, b)) {
        const parts = path.split('.')
        const holder = parts.length === 1 ? out : (out[parts[0]!] as Record<string, unknown>)
        if (kind === 'removed') delete holder[parts.at(-1)!]
        else holder[parts.at(-1)!] = now
      }
      return canonicalText(out) === canonicalText(b)
    })
  )
})

t.test('objects whose names change by themselves are paired by position', async t => {
  const isLoose = (before: unknown, after: unknown) => /^x-\d$/.test(String(before)) && /^x-\d$/.test(String(after))
  const options = { ignore: (_: unknown, before: unknown, after: unknown) => isLoose(before, after) }
  const of = (before: unknown[], after: unknown[]): string[] =>
    differences({ items: before }, { items: after }, options).map(differenceText)
  t.same(of([{ id: 'x-1', v: 1 }], [{ id: 'x-2', v: 1 }]), [])
  t.same(of([{ id: 'x-1', v: 1 }], [{ id: 'x-2', v: 2 }]), ['items[0].v: 1 → 2'])
  const some = [
    { id: 'x-1', v: 1 },
    { id: 'x-2', v: 2 }
  ]
  t.same(
    of(some, [
      { id: 'x-2', v: 1 },
      { id: 'x-3', v: 2 }
    ]),
    [],
    'though one name is there again'
  )
  t.same(
    of(some, [
      { id: 'x-2', v: 1 },
      { id: 'x-1', v: 2 }
    ]),
    [],
    'though they have changed places'
  )
  t.same(of(some, [{ id: 'x-7', v: 2 }]), ['items[0]: removed {"id":"x-1","v":1}'])
  t.same(of([{ id: 'a' }, { id: 'x-1' }], [{ id: 'a' }, { id: 'x-2' }]), [], 'beside one that stays')
  t.same(of(some, [...some].reverse()), ['items: ["x-1","x-2"] → ["x-2","x-1"]'], 'names that stay tell what has moved')
  t.same(of([{ id: 'a' }], [{ id: 'x-2' }]), ['items[0]: removed {"id":"a"}', 'items[0]: added {"id":"x-2"}'])
})

t.test('built-in rules and rules of a file hold for the names of objects in lists', async t => {
  const uuid = (end: number) => `0f8fad5b-d9cb-469f-a165-70867728950${end}`
  const message = (id: unknown) => ({ result: { structuredContent: { items: [{ id, v: 1 }] } } })
  const about = { method: 'tools/call' }
  const builtIn = new AnswerRules(DEFAULT_RULES)
  t.same(builtIn.differences(message(uuid(1)), message(uuid(2)), about), [])
  t.equal(builtIn.differences(message('a'), message('b'), about).length, 2)
  const ignore = ['/result/structuredContent/items/*/id']
  const ruled = new AnswerRules({ ...DEFAULT_RULES, answers: [{ method: 'tools/call', ignore }] })
  t.same(ruled.differences(message('a'), message('b'), about), [])
})
