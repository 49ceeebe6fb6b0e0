import fc from 'fast-check'
import t from 'tap'
import { FrameEncoder, lineOf } from '../../src/tape/encoder.ts'
import { LineBuffer } from '../../src/tape/line-buffer.ts'
import { Redactor } from '../../src/tape/redact.ts'
import { message, note } from './fixtures.ts'

/** What was written behind something else, into a buffer that is far too small. */
function written(write: (out: LineBuffer) => void): string {
  const out = new LineBuffer(4)
  out.ascii('before')
  write(out)
  t.equal(out.view(0, 6).toString(), 'before')
  return out.view(6).toString()
}

const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 400 }), fc.json(), fc.string({ maxLength: 20_000 }))

t.test('strings are written as JSON.stringify writes them, whether they come as text or as bytes', async t => {
  const everyByte = String.fromCharCode(...Array(256).keys())
  for (const s of ['', everyByte, everyByte.repeat(40), '\ud800', 'ä😀\u2028', '"'.repeat(10_000)]) {
    t.equal(
      written(out => out.string(s)),
      JSON.stringify(s)
    )
    const bytes = Buffer.from(s)
    t.equal(
      written(out => out.stringOf(bytes)),
      JSON.stringify(bytes.toString())
    )
  }
  fc.assert(
    fc.property(text, s => {
      const bytes = Buffer.from(s)
      const asText = written(out => out.string(s))
      return asText === JSON.stringify(s) && written(out => out.stringOf(bytes)) === JSON.stringify(bytes.toString())
    }),
    { numRuns: 200 }
  )
})

t.test('numbers are written as JavaScript writes them', async () => {
  const someNumbers = [0, 9, 10, 999, 1000, 1001, 1010, 1100, 2 ** 31, 10 ** 15]
  fc.assert(
    fc.property(
      fc.oneof(fc.nat(), fc.nat({ max: 10 ** 15 })),
      n => written(out => out.integer(n)) === String(n) && written(out => out.thousandths(n)) === String(n / 1000)
    ),
    { examples: someNumbers.map(n => [n]) }
  )
})

t.test('what was taken back is gone, and an empty list has both brackets', async t => {
  const both = written(out => {
    out.ascii('[]secret')
    out.cut(out.length - 6)
    const start = out.length
    out.ascii(',1')
    out.open(start, '{')
    out.open(out.length, '[')
  })
  t.equal(both, '[]{1[')
})

t.test('memory that something giant needed is let go', async t => {
  const out = new LineBuffer(16)
  out.stringOf(Buffer.alloc(1_000_000, 'x'))
  t.ok(out.view().buffer.byteLength > 1_000_000)
  out.clear()
  t.equal(out.view().buffer.byteLength, 16)
})

t.test('a line is the same whether it is written at once or made of its body', async t => {
  const secret = 'sécret/0123456789'
  const frames = [
    message({ a: secret }, { session: 's1', http: { status: 200, headers: ['X-A', 'b'] } }),
    message({ a: 'ä' }, { http: { method: 'POST', path: `/mcp?token=${secret}`, headers: [] } }),
    message('', { bytes: Buffer.from([0xff, 0x00]) }),
    note('late', `password=${secret}`, { data: { code: 1 } })
  ]
  const whole = new FrameEncoder(new Redactor({ secrets: [secret] }))
  const parted = new FrameEncoder(new Redactor({ secrets: [secret] }))
  const out = new LineBuffer(16)
  let lines = ''
  for (const [i, frame] of [...frames, ...frames].entries()) {
    whole.line(out, i + 1, i * 1.23456 - 1, frame)
    lines += lineOf(i + 1, i * 1.23456 - 1, parted.body(frame))
  }
  t.equal(out.toString(), lines)
  t.notMatch(lines, 'cret/')
})
