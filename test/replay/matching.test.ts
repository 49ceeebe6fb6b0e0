import fc from 'fast-check'
import t, { type Test } from 'tap'
import { parseJson } from '../../src/replay/canonical.ts'
import { type Cursor, type Hit, Matcher, type MatcherOptions, type Miss } from '../../src/replay/matching.ts'
import type { RecordedRequest } from '../../src/replay/recording.ts'
import { DEFAULT_RULES } from '../../src/replay/rules.ts'
import { callOf, conversationOf, type Sketch } from './conversation-fixture.ts'

const OPTIONS: MatcherOptions = { mode: 'keyed', repeat: 'last', rules: DEFAULT_RULES }

function lineOf(cursor: Cursor, sketch: Sketch): number | string {
  const match = cursor.match({ method: sketch.method, params: sketch.params })
  return 'miss' in match ? match.miss.text : match.request.place.line
}

function hit(t: Test, cursor: Cursor, sketch: Sketch): Hit {
  const match = cursor.match({ method: sketch.method, params: sketch.params })
  if ('miss' in match) return t.fail(match.miss.text) as never
  return match
}

function missed(cursor: Cursor, sketch: Sketch): Miss {
  const match = cursor.match({ method: sketch.method, params: sketch.params })
  if ('miss' in match) return match.miss
  throw new Error(`line ${match.request.place.line}`)
}

t.test('keyed: by method and parameters, in any order, and each time the next recording', async t => {
  const a = callOf('a', { x: 1, y: 2 })
  const b = callOf('b', {})
  const matcher = new Matcher(conversationOf([a, b, a]), OPTIONS)
  const cursor = matcher.cursor()
  t.equal(lineOf(cursor, b), 3)
  t.equal(lineOf(cursor, callOf('a', { y: 2, x: 1 })), 2)
  t.same(
    matcher.unused.map(r => r.place.line),
    [4]
  )
  t.equal(hit(t, cursor, a).again, false)
  t.same(matcher.unused, [])
  t.match(hit(t, cursor, a), { request: { place: { line: 4 } }, again: true })
  t.equal(cursor.used().size, 3)
})

t.test('each cursor counts by itself', async t => {
  const a = callOf('a', {})
  const matcher = new Matcher(conversationOf([a, a]), OPTIONS)
  const [one, other] = [matcher.cursor(), matcher.cursor()]
  t.same([lineOf(one, a), lineOf(one, a), lineOf(other, a)], [2, 3, 2])
  t.same([one.used().size, other.used().size], [2, 1])
})

t.test('repeat: cycle begins anew, error is a miss that says so', async t => {
  const a = callOf('a', {})
  const tape = conversationOf([a, a])
  const cycle = new Matcher(tape, { ...OPTIONS, repeat: 'cycle' }).cursor()
  t.same(
    [1, 2, 3, 4, 5].map(() => lineOf(cycle, a)),
    [2, 3, 2, 3, 2]
  )
  const error = new Matcher(tape, { ...OPTIONS, repeat: 'error' }).cursor()
  t.same([lineOf(error, a), lineOf(error, a)], [2, 3])
  t.match(missed(error, a), {
    text: /all 2 recordings of this tools\/call of "a" were used.*a\.tape\.jsonl:3/,
    difference: []
  })
})

t.test('initialize, ping and server/discover match whatever their parameters, and as often as asked', async t => {
  for (const mode of ['keyed', 'strict', 'method'] as const) {
    const sketches = ['initialize', 'ping', 'server/discover'].map(method => ({ method, params: { a: 1 } }))
    const cursor = new Matcher(conversationOf(sketches), { ...OPTIONS, mode, repeat: 'error' }).cursor()
    for (const [i, { method }] of sketches.entries())
      for (const params of [{ b: 2 }, undefined])
        t.equal(lineOf(cursor, { method, params }), i + 2, `${mode} ${method}`)
  }
})

t.test('method: arguments do not count, names do', async t => {
  const cursor = new Matcher(conversationOf([callOf('a', { x: 1 }), callOf('b', {}), { method: 'tools/list' }]), {
    ...OPTIONS,
    mode: 'method'
  }).cursor()
  t.equal(lineOf(cursor, callOf('b', { z: 1 })), 3)
  t.equal(lineOf(cursor, callOf('a', { x: 2 })), 2)
  t.equal(lineOf(cursor, { method: 'tools/list', params: { cursor: '2' } }), 4)
  t.match(missed(cursor, callOf('c', {})).text, /no tools\/call of "c"/)
})

t.test('strict: what comes next, and what overlapped in any order', async t => {
  const [a, b, c, d] = ['a', 'b', 'c', 'd'].map(name => callOf(name, {})) as [Sketch, Sketch, Sketch, Sketch]
  const tape = conversationOf([
    { ...a, span: [0, 1] },
    { ...b, span: [2, 5] },
    { ...c, span: [3, 4] },
    { ...d, span: [6, 7] }
  ])
  const cursor = new Matcher(tape, { ...OPTIONS, mode: 'strict', repeat: 'error' }).cursor()
  t.match(missed(cursor, b), { text: /tools\/call of "a" comes next \(a.tape.jsonl:2\).*a.tape.jsonl:3/ })
  t.equal(lineOf(cursor, a), 2)
  t.match(missed(cursor, d).text, /of "b" comes next/)
  t.equal(lineOf(cursor, c), 4)
  t.match(missed(cursor, d).text, /of "b" comes next/)
  t.same([lineOf(cursor, b), lineOf(cursor, d)], [3, 5])
  t.match(missed(cursor, d).text, /the one recording/)
  const cycle = new Matcher(tape, { ...OPTIONS, mode: 'strict', repeat: 'cycle' }).cursor()
  t.same(
    [a, b, c, d, a, c, b, d].map(s => lineOf(cycle, s)),
    [2, 3, 4, 5, 2, 4, 3, 5]
  )
  t.match(missed(cycle, b).text, /comes next/)
  const last = new Matcher(tape, { ...OPTIONS, mode: 'strict' }).cursor()
  for (const s of [a, b, c, d]) t.equal(hit(t, last, s).again, false)
  t.match(hit(t, last, b), { request: { place: { line: 3 } }, again: true })
})

t.test('strict: thousands of pings leave room for what comes behind them', async t => {
  const pings = Array.from({ length: 3000 }, () => ({ method: 'ping' }))
  const matcher = new Matcher(conversationOf([...pings, callOf('a', {})]), { ...OPTIONS, mode: 'strict' })
  const cursor = matcher.cursor()
  t.equal(lineOf(cursor, callOf('a', {})), 3002)
  t.same([lineOf(cursor, { method: 'ping' }), lineOf(cursor, { method: 'ping' })], [2, 3])
  t.equal(matcher.unused.length, 2998)
  t.equal(cursor.used().size, 3)
})

t.test('strict: pings and what was never answered hold nothing up', async t => {
  const [a, b] = [callOf('a', {}), callOf('b', {})]
  const tape = conversationOf([{ method: 'ping' }, a, { method: 'subscriptions/listen', open: true }, b])
  const cursor = new Matcher(tape, { ...OPTIONS, mode: 'strict' }).cursor()
  t.same([lineOf(cursor, a), lineOf(cursor, b)], [3, 5])
  t.equal(lineOf(cursor, { method: 'subscriptions/listen' }), 4)
})

t.test('several conversations: the preferred one first, then the others in their order', async t => {
  const a = callOf('a', {})
  const first = conversationOf([a, a], { session: 's1' })
  const second = conversationOf([a, callOf('b', {}), a], { session: 's2', from: 10 })
  const third = conversationOf([a], { session: 's3', from: 20 })
  const all = [first, second, third]
  for (const mode of ['keyed', 'strict'] as const) {
    const matcher = new Matcher(all, { ...OPTIONS, mode })
    const order = (cursor: Cursor, sketches: readonly Sketch[]) => sketches.map(s => lineOf(cursor, s))
    const b = callOf('b', {})
    t.same(order(matcher.cursor(second), [a, b, a, a, a, a]), [12, 13, 14, 2, 3, 22], mode)
    t.same(order(matcher.cursor(), [a, a, a, b, a, a]), [2, 3, 12, 13, 14, 22], mode)
    t.same(order(matcher.cursor(third), [a, a, a, a, b, a]), [22, 2, 3, 12, 13, 14], mode)
  }
})

t.test('a miss shows the closest recorded request', async t => {
  const tape = conversationOf([
    { method: 'tools/list' },
    callOf('read', { path: '/a', mode: 'x' }),
    callOf('read', { path: '/b', mode: 'y', deep: [1, { z: 1 }] }),
    callOf('write', { path: '/c' })
  ])
  const cursor = new Matcher(tape, OPTIONS).cursor()
  const miss = missed(cursor, callOf('read', { path: '/a', mode: 'z' }))
  t.equal(miss.closest?.place.line, 3)
  t.match(miss.text, /no recorded tools\/call of "read" is like this one; the closest is at a\.tape\.jsonl:3/)
  t.same(miss.difference, ['params.arguments.mode: "x" → "z"'])
  t.match(missed(cursor, callOf('raed', {})), { text: /did you mean "read"/, closest: { method: 'tools/call' } })
  t.match(missed(cursor, { method: 'tools/lst' }), { text: /did you mean 'tools\/list'/, closest: undefined })
  t.match(missed(cursor, { method: 'x/y' }).text, /it holds tools\/list, tools\/call/)
})

t.test('a request of which the tape holds only the beginning matches nothing, and the miss says so', async t => {
  const cut = callOf(
    'a',
    { x: 1 },
    { truncated: true, text: '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"na' }
  )
  for (const mode of ['keyed', 'strict'] as const) {
    const cursor = new Matcher(conversationOf([cut, callOf('b', {})]), { ...OPTIONS, mode }).cursor()
    t.match(missed(cursor, callOf('a', { x: 1 })), {
      text: /a\.tape\.jsonl:2 .*only its beginning/,
      closest: { truncated: true }
    })
    t.equal(lineOf(cursor, callOf('b', {})), 3)
  }
})

t.test('where something was redacted any value matches, and what surrounds it has to be there', async t => {
  const tape = conversationOf([
    callOf('login', { user: 'ann', password: '[redacted]' }),
    callOf('get', { url: 'https://x/?token=[redacted]&page=1' }),
    callOf('login', { user: 'bob', password: '[redacted]' }),
    { method: 'resources/read', params: { uri: 'db://[redacted]/table' } }
  ])
  const cursor = new Matcher(tape, OPTIONS).cursor()
  t.equal(lineOf(cursor, callOf('login', { user: 'bob', password: 's3cret' })), 4)
  t.equal(lineOf(cursor, callOf('login', { user: 'ann', password: { any: ['thing'] } })), 2)
  t.equal(lineOf(cursor, callOf('get', { url: 'https://x/?token=abc&page=1' })), 3)
  t.equal(lineOf(cursor, { method: 'resources/read', params: { uri: 'db://me/table' } }), 5)
  t.same(missed(cursor, callOf('get', { url: 'https://x/?token=abc&page=2' })).difference, [
    'params.arguments.url: "https://x/?token=[redacted]&page=1" → "https://x/?token=abc&page=2"'
  ])
  t.same(missed(cursor, callOf('login', { user: 'eve', password: 'x' })).difference, [
    'params.arguments.user: "ann" → "eve"'
  ])
  t.match(missed(cursor, callOf('login', { user: 'ann' })).difference, [
    'params.arguments.password: removed "[redacted]"'
  ])
})

t.test('a gap holds no more than a secret: what stands behind it, or does not, tells requests apart', async t => {
  const pages = (token: string): Sketch[] =>
    ['', '&page=2', '&page=3', '#top', ' and more'].map(rest =>
      callOf('get', { url: `https://x/?token=${token}${rest}` })
    )
  const asked = pages('s3cret/+=')
  for (const mode of ['keyed', 'strict'] as const) {
    const cursor = new Matcher(conversationOf(pages('[redacted]')), { ...OPTIONS, mode }).cursor()
    for (const [i, one] of asked.entries()) t.equal(lineOf(cursor, one), i + 2, mode)
  }
  const backwards = new Matcher(conversationOf(pages('[redacted]')), OPTIONS).cursor()
  t.same(
    [...asked, ...asked].reverse().map(one => lineOf(backwards, one)),
    [6, 5, 4, 3, 2, 6, 5, 4, 3, 2]
  )
  const page = new Matcher(conversationOf(pages('[redacted]').slice(0, 2)), OPTIONS).cursor()
  const third = missed(page, callOf('get', { url: 'https://x/?token=s3cret&page=3' }))
  t.equal(third.difference.length, 1, 'nor does the closest one hide the difference')
})

t.test('of several sets of gaps that fit, the one that leaves the least open, however often it is asked', async t => {
  const tape = conversationOf([
    callOf('get', { path: '[redacted]' }),
    callOf('get', { path: 'say "[redacted]"' }),
    callOf('get', { path: '/[redacted]/table' }),
    callOf('get', { path: '/me/table' }),
    callOf('get', { path: 'https://[redacted]@host/' })
  ])
  const cursor = new Matcher(tape, OPTIONS).cursor()
  const lines = (path: unknown): (number | string)[] => [1, 2, 3].map(() => lineOf(cursor, callOf('get', { path })))
  t.same(lines('/you/table'), [4, 4, 4])
  t.same(lines('/me/table'), [5, 5, 5])
  t.same(lines('/you/and/table'), [2, 2, 2])
  t.same(lines('say "two words & more"'), [3, 3, 3])
  t.same(lines('say "one" and "two"'), [2, 2, 2])
  t.same(lines('https://me:pa&ss@host/'), [6, 6, 6])
  t.same(lines({ any: 'thing' }), [2, 2, 2])
})

t.test('a gap by itself holds several words, where nothing else fits better', async t => {
  const tape = conversationOf([
    callOf('login', { text: 'log in with [redacted] please' }),
    callOf('login', { text: 'log in with [redacted] and leave please' }),
    callOf('login', { text: '[redacted] is it' }),
    callOf('get', { url: 'https://x/?token=[redacted]&page=1' })
  ])
  const cursor = new Matcher(tape, OPTIONS).cursor()
  const line = (text: string): number | string => lineOf(cursor, callOf('login', { text }))
  t.equal(line('log in with correct horse & battery please'), 2)
  t.equal(line('log in with correct and leave please'), 3)
  t.equal(line('correct horse is it'), 4)
  missed(cursor, callOf('login', { text: 'log in with please' }))
  const { difference } = missed(cursor, callOf('get', { url: 'https://x/?token=a b&page=1' }))
  t.equal(difference.length, 1, 'nor within a word')
})

t.test('answers to what the server asked that differ are told, and the recording is used', async t => {
  const step = (answer: unknown, state = 'st'): Sketch => ({
    method: 'tools/call',
    params: { name: 'e', arguments: {}, inputResponses: { b: { content: answer } }, requestState: state }
  })
  const tape = conversationOf([callOf('e', {}), step(1), step(2), step('[redacted]', 'other')])
  for (const mode of ['keyed', 'strict'] as const) {
    const cursor = new Matcher(tape, { ...OPTIONS, mode }).cursor()
    t.equal(lineOf(cursor, callOf('e', {})), 2, mode)
    const otherwise = hit(t, cursor, step(3))
    t.match(otherwise, { request: { place: { line: 3 } }, again: false }, mode)
    t.same(otherwise.otherwise, ['params.inputResponses.b.content: 1 → 3'], mode)
    t.match(hit(t, cursor, step(2)), { request: { place: { line: 4 } }, otherwise: undefined }, mode)
    t.equal(lineOf(cursor, step('anything', 'other')), 5, mode)
    t.match(missed(cursor, step(1, 'no such state')).difference, [/requestState/], mode)
  }
  const error = new Matcher(tape, { ...OPTIONS, repeat: 'error' }).cursor()
  t.same([lineOf(error, step(8)), lineOf(error, step(9))], [3, 4])
  t.match(missed(error, step(7)).text, /all 2 recordings/)
  const last = new Matcher(tape, OPTIONS).cursor()
  for (const n of [7, 8]) hit(t, last, step(n))
  t.match(hit(t, last, step(9)), { request: { place: { line: 4 } }, again: true })
})

t.test('a tape of very many names says how many there are', async t => {
  const tape = conversationOf(Array.from({ length: 20_000 }, (_, i) => callOf(`n${i}`, {})))
  const cursor = new Matcher(tape, OPTIONS).cursor()
  t.match(missed(cursor, callOf('something else', {})).text, /"n0", "n1", .*"n7" and 19992 more/)
})

t.test(
  'secrets in thousands of different places: what is equal as it stands is still found, and nothing takes long',
  async t => {
    const sketches = Array.from({ length: 10_500 }, (_, i) => callOf('a', { [`m${i}`]: '[redacted]' }))
    const cursor = new Matcher(conversationOf(sketches), OPTIONS).cursor()
    t.equal(lineOf(cursor, callOf('a', { m5: 'secret' })), 7)
    t.equal(lineOf(cursor, callOf('a', { m2999: 'secret' })), 3001)
    t.equal(lineOf(cursor, callOf('a', { m10499: '[redacted]' })), 10_501)
    t.match(missed(cursor, callOf('a', { m10499: 'secret' })), {
      text: /redacted requests of this method are too many to find them all/,
      closest: { method: 'tools/call' }
    })
  }
)

t.test('rules leave members out, and make values equal that match', async t => {
  const rules = {
    ...DEFAULT_RULES,
    requests: [
      { method: 'tools/*', name: 'sea*', ignore: ['/arguments/nonce', '/arguments/list/*/at'] },
      { name: 'search', where: { '/arguments/path': '/tmp/*.txt', '/arguments/n': { regex: '\\d+' } } }
    ]
  }
  const recorded = callOf('search', { nonce: 1, path: '/tmp/a.txt', n: 5, q: 'x', list: [{ at: 1, v: 1 }] })
  const cursor = new Matcher(conversationOf([recorded]), { ...OPTIONS, rules }).cursor()
  const ask = (change: object): Sketch =>
    callOf('search', { ...(recorded.params as { arguments: object }).arguments, ...change })
  for (const change of [
    { nonce: 2 },
    { nonce: undefined },
    { path: '/tmp/b/c.txt' },
    { n: '77' },
    { list: [{ v: 1 }] }
  ])
    t.equal(lineOf(cursor, ask(change)), 2, JSON.stringify(change))
  for (const change of [{ q: 'y' }, { path: '/var/a.txt' }, { n: -1 }, { list: [{ at: 1, v: 2 }] }])
    t.equal(missed(cursor, ask({ nonce: 9, ...change })).difference.length, 1, JSON.stringify(change))
})

t.test('objects match no pattern, whatever their members; numbers that no double holds do', async t => {
  const rules = { ...DEFAULT_RULES, requests: [{ where: { '/arguments/*': '*' } }] }
  const tape = conversationOf([callOf('a', { x: { source: 1 } }), callOf('b', { x: 1 })])
  const cursor = new Matcher(tape, { ...OPTIONS, rules }).cursor()
  t.equal(missed(cursor, callOf('a', { x: { source: 2 } })).difference.length, 1)
  t.equal(lineOf(cursor, callOf('b', parseJson('{"x":9007199254740993}'))), 3)
})

t.test('a large tape: each request is found at once, and a miss looks at few', async t => {
  const sketches = Array.from({ length: 30_000 }, (_, i) => callOf('a', { i }))
  const cursor = new Matcher(conversationOf(sketches), OPTIONS).cursor()
  for (let i = 29_999; i >= 0; i--) if (lineOf(cursor, callOf('a', { i })) !== i + 2) t.fail(String(i))
  for (let i = 0; i < 20; i++) t.match(missed(cursor, callOf('a', { i: -i - 1 })).difference, [/params\.arguments\.i/])
})

const sketch = fc.oneof(
  fc.record({
    method: fc.constantFrom('tools/list', 'x/y'),
    params: fc.option(fc.dictionary(fc.string(), fc.jsonValue()), { nil: undefined })
  }),
  fc.tuple(fc.constantFrom('a', 'b'), fc.jsonValue({ maxDepth: 2 })).map(([name, args]) => callOf(name, args))
)

t.test('every recorded request, sent again in order, is found as itself', async () => {
  fc.assert(
    fc.property(fc.array(fc.array(sketch, { maxLength: 12 }), { maxLength: 3 }), fc.nat(2), (lists, mode) => {
      const conversations = lists.map((list, i) => conversationOf(list, { from: 100 * i }))
      const options = { ...OPTIONS, mode: (['keyed', 'strict', 'method'] as const)[mode]!, repeat: 'error' as const }
      const matcher = new Matcher(conversations, options)
      const cursor = matcher.cursor()
      for (const { steps } of conversations)
        for (const step of steps as RecordedRequest[]) {
          const { method, params } = parseJson(step.text.get()) as { method: string; params: unknown }
          const match = cursor.match({ method, params })
          if ('miss' in match || match.request !== step || match.again) return false
        }
      return matcher.unused.length === 0
    })
  )
})

t.test('what is written as a moment ago finds what it would find if it were read', async t => {
  const names = fc.constantFrom('a', 'b')
  const methods = fc.constantFrom('tools/call', 'prompts/get', 'x')
  const spaces = fc.constantFrom('', ' ', '\n')
  const asked = fc.record({ method: methods, name: names, n: fc.integer({ min: 0, max: 2 }), space: spaces })
  const sketchOf = ({ method, name, n }: { method: string; name: string; n: number }): Sketch => ({
    method,
    params: { name, arguments: { n } }
  })
  fc.assert(
    fc.property(fc.array(asked, { maxLength: 8 }), fc.array(asked, { maxLength: 20 }), (tape, requests) => {
      const matcher = new Matcher(conversationOf(tape.map(sketchOf)), OPTIONS)
      const [read, written] = [matcher.cursor(), matcher.cursor()]
      return requests.every(request => {
        const { method, params } = sketchOf(request)
        const text = JSON.stringify(params).replace(',', `,${request.space}`)
        const [one, other] = [read.match({ method, params }), written.match({ method, params, text })]
        return JSON.stringify(one) === JSON.stringify(other)
      })
    })
  )
  const cursor = new Matcher(conversationOf([callOf('a', {})]), OPTIONS).cursor()
  const once = { method: 'tools/call', params: { name: 'a', arguments: {} }, text: '{"name":"a","arguments":{}}' }
  t.ok('request' in cursor.match(once))
  const again = {
    ...once,
    get params(): unknown {
      throw new Error('it was read')
    }
  }
  t.ok('request' in cursor.match(again), 'without being read')
})
