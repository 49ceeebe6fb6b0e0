/** Tapes that are large, that change, or that were made to do harm. */
import assert from 'node:assert/strict'
import { appendFileSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { type Recording, readRecording } from '../../src/replay/recording.ts'
import { TapeError } from '../../src/tape/format.ts'
import { HEADER } from '../tape/fixtures.ts'
import {
  allSaid,
  contents,
  disorder,
  down,
  end,
  type FrameFacts,
  JSON_HEAD,
  note,
  notice,
  open,
  read,
  request,
  requestsOf,
  result,
  sseHead,
  tapeOf,
  up
} from './recording-door.ts'

const two: readonly FrameFacts[] = [
  up('post-1', [request(1, 'é'), request(2, 'b')]),
  down('post-1', [result(2, { x: '\ud83d\ude00' }), result(1)], { http: JSON_HEAD })
]

t.test('texts that are not kept are read again where they stand', async t => {
  const file = tapeOf(t, two)
  const kept = await read(t, file)
  const unkept = await read(t, file, { keepInMemory: 0 })
  const texts = ({ legacy }: Recording): (readonly [string, number])[] =>
    requestsOf(legacy[0]).flatMap(({ text, outcome }) =>
      [text, ...(outcome.kind === 'response' ? [outcome.text] : [])].map(x => [x.get(), x.length] as const)
    )
  t.same(texts(unkept), texts(kept))
  t.equal(texts(unkept).length, 4)
  for (const [text, length] of texts(unkept)) t.equal(text.length, length)
  // Lines that were added behind do no harm.
  appendFileSync(file, '{"n":99}\n')
  t.same(texts(unkept), texts(kept))
})

t.test('a tape that was changed meanwhile is noticed', async t => {
  const changes: Record<string, (file: string) => void> = {
    'another text of the same length': file => writeFileSync(file, tapeText(file).replace('\\"b\\"', '\\"c\\"')),
    'cut off': file => truncateSync(file, 200)
  }
  for (const [name, change] of Object.entries(changes)) {
    const file = tapeOf(t, two, `${name.length}.tape.jsonl`)
    const recording = await read(t, file, { keepInMemory: 0 })
    change(file)
    const { text } = requestsOf(recording.legacy[0])[1]!
    t.throws(() => text.get(), { code: 'tape_replaced', message: `${file}:2: ` }, name)
  }
  const file = tapeOf(t, two, 'closed.tape.jsonl')
  const recording = await readRecording([file], { keepInMemory: 0 })
  rmSync(file)
  t.match(requestsOf(recording.legacy[0])[1]!.text.get(), '"b"', 'the name is not needed any more')
  recording.close()
  t.throws(() => requestsOf(recording.legacy[0])[0]!.text.get(), { code: 'tape_unreadable', message: 'closed' })
})

function tapeText(file: string): string {
  return readFileSync(file, 'utf8')
}

t.test('what is no tape is an error that names file and line', async t => {
  const bad = (name: string, text: string | Buffer): string => {
    const file = path.join(t.testdirName, name)
    writeFileSync(file, text)
    return file
  }
  t.testdir({ empty: {} })
  const frame = JSON.stringify({ n: 1, t: 0, side: 'client', dir: 'up', kind: 'message', text: '{}' })
  const cases: readonly (readonly [string, string, RegExp])[] = [
    [path.join(t.testdirName, 'missing'), 'tape_unreadable', /missing/],
    [path.join(t.testdirName, 'empty'), 'tape_unreadable', /holds no \*\.tape\.jsonl/],
    [bad('nothing', ''), 'tape_malformed', /nothing.* is empty/],
    [bad('json', '{"a":1}\n'), 'tape_malformed', /json:1: /],
    [bad('newer', `${HEADER.replace('"version":1', '"version":9')}\n`), 'tape_too_new', /update/],
    [bad('wrong', `${HEADER}\n${frame}\n{"n":"1"}\n${frame}\n`), 'tape_malformed', /wrong:3: /],
    [bad('deep', `${HEADER}\n${'['.repeat(3_000_000)}\n`), 'tape_malformed', /deep:2: /],
    [
      bad('binary', Buffer.concat([Buffer.from(`${HEADER}\n`), Buffer.from([255, 10])])),
      'tape_malformed',
      /binary:2: /
    ],
    [bad('long', `${HEADER}\n${frame}\n${' '.repeat(5000)}\n`), 'tape_line_too_long', /long:3: /]
  ]
  for (const [file, code, message] of cases)
    await t.rejects(readRecording([file], { maxLine: code === 'tape_line_too_long' ? 4000 : undefined }), {
      code,
      message
    })
})

t.test('a torn end is left out, and said', async t => {
  const file = tapeOf(t, two)
  appendFileSync(file, '{"n":3,"t":')
  const { tapes, counts } = await read(t, file)
  t.equal(tapes[0]?.torn, true)
  t.equal(counts.frames, 2)
  const whole = tapeOf(t, two, 'whole.tape.jsonl')
  truncateSync(whole, Buffer.byteLength(tapeText(whole)) - 1)
  t.equal((await read(t, whole)).tapes[0]?.torn, false)
})

t.test('reading tells how far it is, and can be ended', async t => {
  const file = tapeOf(t, Array(5000).fill(up('stdio', notice('n'))))
  const told: number[] = []
  await read(t, file, { onProgress: (done, total) => told.push(done / total) })
  t.ok(told.length > 1)
  t.equal(told.at(-1), 1)
  t.same(told, told.toSorted())
  const enough = new AbortController()
  const reading = readRecording([file], { signal: enough.signal, onProgress: () => enough.abort(new Error('enough')) })
  await t.rejects(reading, { message: 'enough' })
})

/** Each was made so that a careless reader would go through all that came before again and again. */
const MANY = 60_000
const list = (make: (i: number) => FrameFacts | readonly FrameFacts[]): FrameFacts[] =>
  Array.from({ length: MANY }, (_, i) => make(i)).flat()
const hostile: Record<string, () => FrameFacts[]> = {
  'requests never answered, all with one id': () => list(() => up('stdio', request(1, 'a'))),
  'requests never answered, each with its own id': () => list(i => up('stdio', request(i, 'a'))),
  'one id, all cancelled, then answered': () => [
    ...list(() => up('stdio', request(1, 'a'))),
    ...list(() => up('stdio', notice('notifications/cancelled', { requestId: 1 }))),
    ...list(() => down('stdio', result(1)))
  ],
  'answers to nothing': () => list(i => down('stdio', result(i))),
  'a session each': () => list(i => ({ ...up('post-1', request(i, 'a')), session: `s${i}` })),
  'a stream each': () => list(i => up(`post-${i}`, request(i, 'a'))),
  'one stream that is taken up again and again': () => [
    up('post-1', request(1, 'a')),
    sseHead('post-1'),
    { stream: 'post-1', dir: 'down', kind: 'event', sse: { id: 'e' } },
    end('post-1'),
    ...list(i => [
      open(`get-${i}`, 'GET', [['last-event-id', 'e']]),
      down(`get-${i}`, notice('n'), { sse: { id: 'e' } }),
      end(`get-${i}`)
    ])
  ],
  'a large batch with one id, answered one by one': () => [
    up('post-1', Array(MANY).fill(request(1, 'a'))),
    sseHead('post-1'),
    ...list(() => down('post-1', result(1)))
  ],
  'a large batch, taken up again and again': () => [
    up('post-1', Array(MANY).fill(request(1, 'a'))),
    sseHead('post-1'),
    { stream: 'post-1', dir: 'down', kind: 'event', sse: { id: 'e' } },
    end('post-1'),
    ...list(i => [open(`get-${i}`, 'GET', [['last-event-id', 'e']]), { ...end(`get-${i}`), sse: { id: 'e' } }])
  ],
  'the client goes away again and again': () => [
    ...list(i => up('stdio', request(i, 'a'))),
    ...list(() => note('disconnect', { stream: 'stdio' }))
  ],
  "the server's requests, all with one id": () => [
    ...list(() => down('stdio', request(1, 'ask'))),
    ...list(() => up('stdio', result(1)))
  ],
  'a progress token each': () => list(i => up('stdio', request(i, 'a', { _meta: { progressToken: `t${i}` } }))),
  'names that each are another': () => list(i => up('stdio', request(i, `method/${i}`.padEnd(300, 'x')))),
  'headers that each are others': () =>
    list(i => up('post-1', notice('n'), { http: { method: 'POST', headers: [['x', `${i}`.padEnd(500, 'x')]] } }))
}

for (const [name, make] of Object.entries(hostile))
  t.test(`hostile: ${name}`, async t => {
    const recording = await read(t, tapeOf(t, make()))
    t.ok(recording.counts.frames >= MANY)
  })

t.test('enormous ids, names and depths, and keys that are none', async t => {
  const long = 'x'.repeat(100_000)
  const deep = '['.repeat(100_000)
  const file = tapeOf(t, [
    up('stdio', request(long, long, { name: long, _meta: { progressToken: long } })),
    down('stdio', result(long)),
    up('stdio', `{"jsonrpc":"2.0","id":2,"method":"deep","params":${deep}${']'.repeat(100_000)}}`),
    up('stdio', `{"jsonrpc":"2.0","id":3,"method":"open","params":{"_meta":${deep}`),
    up('stdio', '{"__proto__":{"id":9},"jsonrpc":"2.0","id":1,"id":4,"method":"twice","method":"__proto__"}'),
    down('stdio', '{"jsonrpc":"2.0","id":4,"result":{"__proto__":{}}}'),
    up('stdio', '{"jsonrpc":"2.0","id":"\\ud800","method":"\\ud800"}'),
    down('stdio', '{"jsonrpc":"2.0","id":"\\ud800","result":1}')
  ])
  const { legacy } = await read(t, file)
  const all = requestsOf(legacy[0])
  t.ok(all[0]!.id.length < 1000 && all[0]!.method.length < 1000)
  t.same(
    all.map(r => r.outcome.kind),
    ['response', 'open', 'open', 'response', 'response']
  )
  t.equal(all[3]?.method, '__proto__')
  t.equal(({} as { id?: unknown }).id, undefined)
})

t.test('batches beyond measure are refused', async t => {
  const file = tapeOf(t, [up('stdio', `[${Array(1_000_001).fill('{"id":1}').join()}]`)])
  await t.rejects(readRecording([file]), { code: 'tape_malformed', message: /frame 1: batches with more than/ })
})

const id = fc.constantFrom<unknown>(1, 2, '1', 'x', null, undefined, 1.5, 9007199254740992)
const token = fc.constantFrom<unknown>(undefined, 1, 'x', {})
const message = fc.oneof(
  fc.record({ id, method: fc.constantFrom('a', 'initialize', 'subscriptions/listen'), params: paramsOf() }),
  fc.record({ method: fc.constantFrom('n', 'notifications/progress', 'notifications/cancelled'), params: paramsOf() }),
  fc.record({ id, result: fc.constantFrom<unknown>({}, { protocolVersion: '2025-06-18' }, 1) }),
  fc.record({ id, error: fc.constant({}) })
)
function paramsOf(): fc.Arbitrary<unknown> {
  const _meta = fc.constantFrom<unknown>(
    undefined,
    { progressToken: 1 },
    { 'io.modelcontextprotocol/protocolVersion': '2026-07-28' },
    { 'io.modelcontextprotocol/subscriptionId': 1 }
  )
  return fc.record({ progressToken: token, requestId: id, _meta })
}
const stream = fc.constantFrom('post-1', 'post-2', 'get-3', 'stdio', undefined)
const http = fc.constantFrom<FrameFacts['http']>(
  undefined,
  undefined,
  JSON_HEAD,
  { status: 202, headers: [] },
  { method: 'GET', headers: [['Last-Event-ID', 'e']] },
  { method: 'DELETE' },
  { status: 200, headers: [['content-type', 'text/event-stream']] }
)
const frame = fc.record({
  kind: fc.constantFrom('message', 'message', 'message', 'head', 'event', 'body', 'open', 'end', 'note', 'new'),
  dir: fc.constantFrom<'up' | 'down'>('up', 'down'),
  side: fc.constantFrom<'client' | 'server'>('client', 'client', 'client', 'server'),
  session: fc.constantFrom(undefined, 's1', 's2'),
  stream,
  http,
  sse: fc.constantFrom(undefined, { id: 'e' }, { event: 'endpoint' }),
  text: fc.option(fc.oneof({ weight: 9, arbitrary: message }, { weight: 1, arbitrary: fc.array(message) }), {
    nil: undefined
  }),
  own: fc.constantFrom(undefined, true),
  outcome: fc.constantFrom(undefined, undefined, undefined, 'complete'),
  note: fc.constantFrom('disconnect', 'error', 'session-end', 'dropped', 'other'),
  remark: fc.constantFrom(undefined, 'the session ended: client'),
  data: fc.constantFrom(undefined, { code: 'x' }, { count: 2 })
})

t.test('any sequence of frames: what was said stands once, in order', async t => {
  t.testdir({})
  let number = 0
  await fc.assert(
    fc.asyncProperty(fc.array(frame, { maxLength: 40 }), fc.boolean(), async (frames, keep) => {
      const file = tapeOf(t, frames as FrameFacts[], `${++number}.tape.jsonl`)
      const recording = await readRecording([file], { keepInMemory: keep ? 1e6 : 0 })
      const { found, wanted } = await contents(file, recording)
      assert.deepEqual(disorder(recording), [])
      assert.deepEqual(found, wanted)
      recording.close()
    }),
    { numRuns: 300 }
  )
})

t.test('any sequence of frames on two tapes: one order', async t => {
  t.testdir({})
  let number = 0
  const some = fc.array(frame, { maxLength: 20 })
  await fc.assert(
    fc.asyncProperty(some, some, async (one, two) => {
      const name = `${++number}`
      const files = [one, two].map((frames, i) => tapeOf(t, frames as FrameFacts[], `${name}-${i}.tape.jsonl`))
      const recording = await readRecording(files)
      assert.deepEqual(disorder(recording), [])
      recording.close()
      const parts = await Promise.all(files.map(file => readRecording([file])))
      const said = (r: Recording): number => allSaid(r).length
      assert.equal(said(recording), said(parts[0]!) + said(parts[1]!))
      for (const part of parts) part.close()
    }),
    { numRuns: 100 }
  )
})

t.test('any damage to a tape: a recording, or an error that says where', async t => {
  t.testdir({})
  const text = tapeText(tapeOf(t, [...two, ...two, note('disconnect', { stream: 'post-1' })], 'whole.tape.jsonl'))
  const file = path.join(t.testdirName, 'damaged.tape.jsonl')
  const damage = fc.array(fc.tuple(fc.nat(text.length - 1), fc.string({ unit: 'binary', maxLength: 4 })), {
    minLength: 1
  })
  await fc.assert(
    fc.asyncProperty(damage, async places => {
      let damaged = text
      for (const [at, what] of places) damaged = damaged.slice(0, at) + what + damaged.slice(at + what.length)
      writeFileSync(file, damaged)
      try {
        const recording = await readRecording([file], { keepInMemory: 0 })
        touchAll(t, recording)
        recording.close()
      } catch (error) {
        if (!(error instanceof TapeError) || !error.message.includes(file)) throw error
      }
    }),
    { numRuns: 300 }
  )
})

function touchAll(t: Test, { legacy, modern }: Recording): void {
  for (const c of [...legacy, ...(modern ? [modern] : [])])
    for (const r of requestsOf(c)) if (typeof r.text.get() !== 'string' || r.place.line < 2) t.fail('a text')
}

t.test('a stream that stays open is known by its name, however many requests come meanwhile', async t => {
  const file = tapeOf(t, [
    open('get-1', 'GET'),
    { stream: 'get-1', dir: 'down', kind: 'event', sse: { event: 'endpoint' }, text: '/messages', own: true },
    ...list(i => [up(`post-${i}`, request(i, 'a')), down('get-1', result(i))]),
    note('disconnect', { stream: 'get-1' })
  ])
  const { legacy } = await read(t, file)
  t.equal(legacy[0]?.steps.at(-1)?.kind, 'end')
  t.ok(requestsOf(legacy[0]).every(r => r.outcome.kind === 'response'))
})
