import { stat } from 'node:fs/promises'
import path from 'node:path'
import t from 'tap'
import { Cut, type CutOptions, parseMark } from '../../src/tape/cut.ts'
import type { TapeFrame } from '../../src/tape/format.ts'
import { answer, call, frameOf, numbersOn, posix, run, tapeIn } from './tool-fixtures.ts'

t.test('cut: requests stay with their answers, numbers stay, and what comes out is a tape', async t => {
  const file = await tapeIn(t)
  const cuts: [string[], number[]][] = [
    [
      ['--from', '#3', '--to', '#4'],
      [3, 4, 5, 6]
    ],
    [
      ['--from', '2s', '--to', '3500ms'],
      [3, 5]
    ],
    [
      ['--session', 's2'],
      [4, 6]
    ],
    [
      ['--method', 'tools/list'],
      [7, 8]
    ],
    [
      ['--method', 'tools/list,tools/*', '--from', '2026-11-23T00:00:04Z'],
      [4, 6, 7, 8]
    ]
  ]
  for (const [i, [options, kept]] of cuts.entries()) {
    const out = path.join(path.dirname(file), `cut-${i}.tape.jsonl`)
    const { err, code } = await run(t, ['cut', file, '-o', out, ...options])
    t.strictSame([err, code], [`${kept.length} frames\n`, 0])
    t.strictSame(await numbersOn(out), kept, options.join(' '))
    if (posix) t.equal((await stat(out)).mode & 0o777, 0o600)
  }
  for (const options of [
    ['--from', 'soon'],
    ['--to', '#x']
  ])
    t.equal((await run(t, ['cut', file, '-o', `${file}.x`, ...options])).code, 2)
  t.equal((await run(t, ['cut', file])).code, 2)
  t.strictSame(parseMark('1h', '2026-11-23T00:00:00Z'), { t: 3_600_000 })
})

t.test('cut: an answer on a pipe goes with its request, whatever came between', t => {
  const pipe = { stream: 'stdio' }
  const cut = new Cut({ to: { n: 2 } })
  const frames = [
    call(1, 1, 'a', {}, pipe),
    call(2, 2, 'b', {}, pipe),
    call(3, 3, 'c', {}, pipe),
    answer(4, 3, {}, pipe),
    answer(5, 2, {}, pipe),
    answer(6, 1, {}, pipe)
  ]
  t.strictSame(
    frames.filter(frame => cut.keeps(frame)).map(frame => frame.n),
    [1, 2, 5, 6]
  )
  t.end()
})

/** Of what passed on a pipe, the numbers of the frames that stay. */
function stay(options: CutOptions, frames: readonly TapeFrame[]): number[] {
  const cut = new Cut(options)
  return frames.filter(frame => cut.keeps(frame)).map(frame => frame.n)
}

const pipe = { stream: 'stdio' }

function asking(n: number, id: number, method: string, progressToken: unknown): TapeFrame {
  return frameOf(n, 'up', { id, method, params: { name: 'x', _meta: { progressToken } } }, pipe)
}

function progress(n: number, progressToken: unknown): TapeFrame {
  return frameOf(n, 'down', { method: 'notifications/progress', params: { progressToken, progress: 1 } }, pipe)
}

function question(n: number, id: number): TapeFrame {
  return frameOf(n, 'down', { id, method: 'sampling/createMessage', params: {} }, pipe)
}

t.test('cut: progress and cancellation on a pipe go with the request that they name', t => {
  const cancel = (n: number, requestId: unknown): TapeFrame =>
    frameOf(n, 'up', { method: 'notifications/cancelled', params: { requestId } }, pipe)
  const frames = [
    asking(1, 1, 'tools/call', 'a'),
    asking(2, 2, 'prompts/get', 'b'),
    progress(3, 'a'),
    progress(4, 'b'),
    progress(5, 1),
    { ...progress(6, 'a'), session: 's2' },
    cancel(7, 2),
    cancel(8, 1),
    asking(9, 3, 'prompts/get', 'a'),
    progress(10, 'a'),
    answer(11, 3, {}, pipe)
  ]
  t.strictSame(stay({ methods: ['tools/*'] }, frames), [1, 3, 8])
  t.strictSame(stay({ methods: ['prompts/get'] }, frames), [2, 4, 7, 9, 10, 11])
  t.strictSame(stay({ to: { n: 1 } }, frames), [1, 3, 8], 'also where the range has ended by then')
  t.end()
})

t.test('cut: what the server asks on a pipe stays where it may belong to a request that stays', t => {
  const reply = (n: number, id: number): TapeFrame => frameOf(n, 'up', { id, result: {} }, pipe)
  const frames = [
    asking(1, 1, 'prompts/get', 'a'),
    question(2, 1),
    reply(3, 1),
    asking(4, 2, 'tools/call', 'b'),
    question(5, 2),
    answer(6, 1, {}, pipe),
    question(7, 3),
    answer(8, 2, {}, pipe),
    reply(9, 2),
    question(10, 4),
    reply(11, 4),
    { ...question(12, 5), session: 's2' },
    reply(13, 3)
  ]
  t.strictSame(stay({ methods: ['tools/*'] }, frames), [4, 5, 7, 8, 9, 13])
  t.strictSame(stay({ methods: ['tools/*', 'sampling/*'] }, frames), [2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13])
  t.end()
})

t.test('cut: the answer to a question on a kept stream is kept, with its own HTTP exchange', t => {
  const post = { stream: 'post-9' }
  const frames = [
    call(1, 1, 'a'),
    { ...question(2, 1), stream: 'post-1' },
    frameOf(3, 'up', { id: 1, result: {} }, post),
    { n: 4, t: 4, side: 'client', dir: 'down', kind: 'head', session: 's1', ...post, http: { status: 202 } } as const,
    answer(5, 1, {})
  ]
  t.strictSame(stay({ methods: ['tools/*'] }, frames), [1, 2, 3, 4, 5])
  t.strictSame(stay({ methods: ['ping'] }, frames), [])
  t.end()
})

t.test('cut: what is remembered is bounded, and the latest is known', t => {
  const cut = new Cut({ methods: ['tools/*'] })
  const many = 60_000
  for (let i = 1; i <= many; i++) cut.keeps(asking(i, i, 'tools/call', `t${i}`))
  t.ok(cut.keeps(progress(many + 1, `t${many}`)))
  t.notOk(cut.keeps(progress(many + 2, 't1')), 'forgotten: judged by itself')
  t.ok(cut.keeps(question(many + 3, 1)))
  t.end()
})
