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
