import fc from 'fast-check'
import t from 'tap'
import { FrameEncoder, lineOf } from '../../src/tape/encoder.ts'
import { contentOf } from '../../src/tape/format.ts'
import type { Frame, NoteKind } from '../../src/tape/frame.ts'
import { parseFrame, TapeReader } from '../../src/tape/reader.ts'
import { Redactor } from '../../src/tape/redact.ts'
import { chunksOf, collect, HEADER, message } from './fixtures.ts'

function roundTrip(frame: Frame, redactor = new Redactor()) {
  const line = lineOf(7, 1.23456, new FrameEncoder(redactor).body(frame))
  return { line, frame: parseFrame(Buffer.from(line)) }
}

const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 200 }).map(a => Buffer.from(a)),
  fc.string({ unit: 'binary', maxLength: 100 }).map(s => Buffer.from(s)),
  fc.json().map(s => Buffer.from(s))
)
const optional = <T>(arb: fc.Arbitrary<T>) => fc.option(arb, { nil: undefined })
const harmlessName = fc.constantFrom('Content-Type', 'x-CUSTOM', 'Accept', 'traceparent', 'Mcp-Method')

const frames: fc.Arbitrary<Frame> = fc.record({
  time: fc.double({ min: 0, max: 1e9, noNaN: true }),
  side: fc.constantFrom('client' as const, 'server' as const),
  dir: fc.constantFrom('up' as const, 'down' as const),
  kind: fc.constantFrom('message' as const),
  session: optional(fc.string()),
  stream: optional(fc.string()),
  http: optional(
    fc.record({
      status: optional(fc.integer({ min: 100, max: 599 })),
      headers: fc
        .array(
          fc.tuple(
            harmlessName,
            fc.string({ unit: 'binary' }).filter(s => !s.includes('='))
          ),
          { maxLength: 6 }
        )
        .map(a => a.flat())
    })
  ),
  sse: optional(fc.record({ id: optional(fc.string()), event: optional(fc.string()), retry: optional(fc.nat()) })),
  bytes,
  own: optional(fc.boolean()),
  note: optional(fc.constantFrom<NoteKind>('late', 'noise')),
  data: optional(fc.record({ code: fc.integer(), signal: fc.constant(null), ok: fc.boolean() }))
})

t.test('what is no secret comes back from a line as it was, whatever its bytes', async () => {
  fc.assert(
    fc.property(frames, frame => {
      const { line, frame: back } = roundTrip(frame)
      const pairs: [string, string][] = []
      for (let i = 0; i < (frame.http?.headers?.length ?? 0); i += 2)
        pairs.push([frame.http!.headers![i]!, frame.http!.headers![i + 1]!])
      return (
        line.indexOf('\n') === line.length - 1 &&
        contentOf(back)!.equals(frame.bytes!) &&
        back.session === frame.session &&
        back.stream === frame.stream &&
        back.sse?.id === frame.sse?.id &&
        back.sse?.event === frame.sse?.event &&
        back.sse?.retry === frame.sse?.retry &&
        back.http?.status === frame.http?.status &&
        (back.own ?? false) === (frame.own ?? false) &&
        JSON.stringify(back.http?.headers ?? []) === JSON.stringify(pairs) &&
        JSON.stringify(back.data) === JSON.stringify(frame.data) &&
        back.redacted === undefined
      )
    }),
    { numRuns: 500 }
  )
})

t.test('frames survive being cut into chunks anywhere', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(frames, { maxLength: 5 }),
      fc.array(fc.nat(2000), { maxLength: 8 }),
      async (list, cuts) => {
        const encoder = new FrameEncoder(new Redactor())
        const text = Buffer.from(`${HEADER}\n${list.map((f, i) => lineOf(i + 1, f.time, encoder.body(f))).join('')}`)
        const at = [0, ...cuts.map(c => c % text.length).sort((a, b) => a - b), text.length]
        const parts = at.slice(1).map((end, i) => text.subarray(at[i], end))
        const back = await collect(await TapeReader.from(chunksOf(...parts), 'x'))
        return back.length === list.length && back.every((f, i) => contentOf(f)!.equals(list[i]!.bytes!))
      }
    ),
    { numRuns: 200 }
  )
})

t.test('big numbers, odd spacing, duplicate keys and escapes of a message are untouched', async t => {
  const text = '{ "jsonrpc" : "2.0","id":9007199254740993,\t"method":"\\u0061/b","params":{"a":1e400,"a":-0.0} }'
  t.equal(roundTrip(message(text)).frame.text, text)
})

t.test('the prefix of a cut message is text even when the cut went through a character', async t => {
  const whole = Buffer.from('{"x":"ä😀"}')
  for (let end = 1; end < whole.length; end++) {
    const frame = {
      ...message(''),
      bytes: whole.subarray(0, end),
      truncated: { length: whole.length, sha256: 'a'.repeat(64) }
    }
    const back = roundTrip(frame).frame
    t.ok(back.text !== undefined && whole.toString().startsWith(back.text), `cut at ${end}`)
  }
})

t.test('times have three decimals and are never negative', async t => {
  t.match(lineOf(1, 1.23456, '"x":1}'), /"t":1\.235,/)
  t.match(lineOf(1, -3, '"x":1}'), /"t":0,/)
})
