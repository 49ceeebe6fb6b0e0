import t, { type Test } from 'tap'
import { differenceText } from '../../src/replay/json-diff.ts'
import { readRecording } from '../../src/replay/recording.ts'
import { DEFAULT_RULES, type Rules } from '../../src/replay/rules.ts'
import { diffRecordings } from '../../src/replay/tape-diff.ts'
import { HEADER } from '../tape/fixtures.ts'
import { down, type FrameFacts, request, result, tapeOf, up } from './recording-door.ts'

/** What differs, a line each, on tapes that began at these moments. */
async function diff(t: Test, a: FrameFacts[], b: FrameFacts[], starts: string[] = [], rules: Rules = DEFAULT_RULES) {
  const open = [a, b].map((frames, i) => {
    const header = { ...JSON.parse(HEADER), ...(starts[i] && { started: starts[i] }) }
    return readRecording([tapeOf(t, frames, `${i}.tape.jsonl`, JSON.stringify(header))])
  })
  const [old, now] = await Promise.all(open)
  t.teardown(() => {
    for (const recording of [old, now]) recording!.close()
  })
  return [...diffRecordings(old!, now!, rules)].map(d =>
    d.kind === 'answer' ? `~ ${d.a.method} ${d.differences.map(differenceText)}` : `${d.kind} ${d.request.method}`
  )
}

const note = (method: string, params: object) => ({ jsonrpc: '2.0', method, params })

t.test('times near the moment at which each was said are alike', async t => {
  const tape = (time: string) => [up('stdio', request(1, 'x')), down('stdio', result(1, { text: `at ${time}` }))]
  const starts = ['2026-11-20T10:00:00.000Z', '2026-11-22T10:00:00.000Z']
  const [early, late] = [tape('2026-11-20T10:00:05.000Z'), tape('2026-11-22T10:00:05.000Z')]
  t.same(await diff(t, early, late, starts), [])
  t.equal((await diff(t, tape('2020-01-01T10:00:05.000Z'), late, starts)).length, 1)
  t.equal((await diff(t, early, late, starts, { ...DEFAULT_RULES, defaults: false })).length, 1)
})

t.test('what came with an answer is compared, by whatever token the client named it', async t => {
  const tape = (progressToken: number, ...done: number[]) => [
    up('stdio', request(1, 'x', { _meta: { progressToken } })),
    ...done.map(progress => down('stdio', note('notifications/progress', { progressToken, progress }))),
    down('stdio', result(1))
  ]
  t.same(await diff(t, tape(7, 1, 2), tape(8, 1, 2)), [])
  t.same(await diff(t, tape(7, 1, 2), tape(8, 1, 3)), ['~ x notifications[1].params.progress: 2 → 3'])
  t.match(await diff(t, tape(7, 1), tape(8)), [/^~ x notifications\[0\]: removed /])
  const rules = { ...DEFAULT_RULES, answers: [{ method: 'x', ignore: ['/notifications'] }] }
  t.same(await diff(t, tape(7, 1), tape(8), [], rules), [])
})

t.test('what the server asks is compared', async t => {
  const tape = (...asked: string[]) => [
    up('stdio', request(1, 'x')),
    ...asked.flatMap((text, i) => [
      down('stdio', request(50 + i, 'sampling/createMessage', { messages: [text] })),
      up('stdio', result(50 + i))
    ]),
    down('stdio', result(1))
  ]
  t.same(await diff(t, tape('a', 'b'), tape('a', 'b')), [])
  t.same(await diff(t, tape('a', 'b'), tape('a', 'c')), ['~ sampling/createMessage params.messages[0]: "b" → "c"'])
  t.same(await diff(t, tape('a', 'b'), tape('a')), ['only-a sampling/createMessage'])
  t.same(await diff(t, tape(), tape('a')), ['only-b sampling/createMessage'])
})

t.test('what the client answers counts, and what it cancels', async t => {
  const asks = (text: string) => [
    up('stdio', request(1, 'x')),
    down('stdio', request(50, 'sampling/createMessage', {})),
    ...(text === '' ? [] : [up('stdio', result(50, { text }))]),
    down('stdio', result(1))
  ]
  t.same(await diff(t, asks('a'), asks('a')), [])
  t.same(await diff(t, asks('a'), asks('b')), ['~ sampling/createMessage answer.result.text: "a" → "b"'])
  t.same(await diff(t, asks('a'), asks('')), ['~ sampling/createMessage answer: removed true'])
  const rules = { ...DEFAULT_RULES, answers: [{ method: 'sampling/createMessage', ignore: ['/result/text'] }] }
  t.same(await diff(t, asks('a'), asks('b'), [], rules), [])
  const calls = (id: number, cancels: boolean) => [
    up('stdio', request(id, 'x')),
    ...(cancels ? [up('stdio', note('notifications/cancelled', { requestId: id }))] : []),
    down('stdio', result(id))
  ]
  t.same(await diff(t, calls(1, true), calls(2, true)), [])
  t.same(await diff(t, calls(1, false), calls(1, true)), ['~ x cancelled: added true'])
})

t.test('notifications of the client are aligned as requests are', async t => {
  const tape = (...notes: object[]) => [
    ...notes.map(params => up('stdio', note('notifications/progress', params))),
    up('stdio', request(1, 'x')),
    down('stdio', result(1))
  ]
  const [first, again] = [1, 2].map(progressToken => ({ progressToken, progress: 5 }))
  t.same(await diff(t, tape(first!), tape(again!)), [], 'the server made the token')
  t.same(await diff(t, tape(first!), tape()), ['only-a notifications/progress'])
  t.same(await diff(t, tape(), tape(first!, again!)), [
    'only-b notifications/progress',
    'only-b notifications/progress'
  ])
})

t.test('a redaction mark on either side stands for any value, in parameters too', async t => {
  const tape = (...calls: [params: object | undefined, answer?: object][]) =>
    calls.flatMap(([params, answer = {}], i) => [
      up('stdio', request(i, 'x', params)),
      down('stdio', result(i, answer))
    ])
  const same = async (a: FrameFacts[], b: FrameFacts[], why: string) => {
    t.same(await diff(t, a, b), [], why)
    t.same(await diff(t, b, a), [], `${why}, the other way round`)
  }
  await same(tape([{ key: 'hunter2' }, { said: 'hunter2!' }]), tape([{ key: R }, { said: `${R}!` }]), 'in all places')
  await same(tape([{ a: { b: [1, 'k'] } }]), tape([{ a: { b: [1, R] } }]), 'within lists')
  await same(tape([{ key: 17 }]), tape([{ key: R }]), 'of any type')
  await same(tape([{ key: 'a b&c' }]), tape([{ key: `a ${R}&c` }]), 'within a text')
  await same(tape([{ key: R, token: 't' }]), tape([{ key: 'k', token: R }]), 'in another place on each side')
  await same(tape([{ key: 'a' }], [{ key: 'b' }]), tape([{ key: R }], [{ key: R }]), 'many')
  const [a, b] = [tape([{ key: R }], [{ key: 'b' }]), tape([{ key: 'b' }], [{ key: 'c' }])]
  await same(a, b, 'what is equal to the letter is paired first')
  t.same(await diff(t, tape([{ key: 'Basic x' }]), tape([{ key: `Bearer ${R}` }])), ['only-a x', 'only-b x'])
  t.same(await diff(t, tape([{}]), tape([{ key: R }])), ['only-a x', 'only-b x'], 'a mark is no absent value')
  t.same(await diff(t, tape([{ key: 'k' }, { n: 1 }]), tape([{ key: R }, { n: 2 }])), ['~ x result.n: 1 → 2'])
})

const R = '[redacted]'

t.test('what cannot be read as a whole is the same to the letter, or but for what was redacted', async t => {
  const tape = (secret: string) => [
    {
      ...up('stdio', `{"jsonrpc":"2.0","id":1,"method":"x","params":{"key":"${secret}`),
      truncated: { length: 999, sha256: '0'.repeat(64) }
    },
    down('stdio', result(1))
  ]
  t.same(await diff(t, tape('a'), tape('a')), [])
  t.same(await diff(t, tape('a'), tape(`${R}`)), [])
  t.same(await diff(t, tape('a'), tape('b')), ['only-a x', 'only-b x'])
})
