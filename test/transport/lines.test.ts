import { createHash } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { LineSplitter, type OversizeLine } from '../../src/transport/lines.ts'

interface Result {
  readonly lines: string[]
  readonly long: OversizeLine[]
}

function split(chunks: readonly (string | Buffer)[], maxLine = 1_000_000): Result {
  const result: Result = { lines: [], long: [] }
  const splitter = new LineSplitter(maxLine, {
    line: line => result.lines.push(line.toString('latin1')),
    oversize: info => result.long.push(info)
  })
  for (const chunk of chunks) splitter.push(Buffer.from(chunk))
  splitter.end()
  return result
}

const sha256 = (text: Buffer | string) => createHash('sha256').update(text).digest('hex')

t.test('lines end with LF or CRLF, the last one with the stream', async t => {
  t.same(split(['a\nb\r\nc']).lines, ['a', 'b', 'c'])
  t.same(split(['a\r', '\nb', '\n', 'c\r']).lines, ['a', 'b', 'c'])
  t.same(split(['a\rb\r\r\n']).lines, ['a\rb\r'], 'one CR belongs to the ending, others to the line')
})

t.test('empty lines are skipped, blank ones are not', async t => {
  t.same(split(['\n\n\r\n', '\r', '\na\n\n', '\n']).lines, ['a'])
  t.same(split([' \n']).lines, [' '])
  t.same(split([]).lines, [])
})

t.test('a character split over chunks stays whole', async t => {
  const text = Buffer.from('{"x":"\u{1f408}ä"}\n')
  for (let cut = 0; cut <= text.length; cut++) {
    const { lines } = split([text.subarray(0, cut), text.subarray(cut)])
    t.same(lines, [text.subarray(0, -1).toString('latin1')])
  }
})

t.test('a line of exactly the maximum passes, with CRLF too; one byte more does not', async t => {
  for (const ending of ['', '\n', '\r\n']) {
    for (const cut of [3, 9, 10, 11]) {
      const fits = `${'x'.repeat(10)}${ending}`
      t.same(split([fits.slice(0, cut), fits.slice(cut)], 10), { lines: ['x'.repeat(10)], long: [] })
      const over = `${'x'.repeat(11)}${ending}`
      const { lines, long } = split([over.slice(0, cut), over.slice(cut)], 10)
      t.same(lines, [])
      t.match(long, [{ length: 11, sha256: sha256('x'.repeat(11)) }])
    }
  }
})

t.test('of a line that is too long both ends, length and hash are told, and the next lines come through', async t => {
  const long = Buffer.alloc(300_000, 'abcdefghijklmnopqrstuvwxyz0123456789')
  const input = Buffer.concat([Buffer.from('a\n'), long, Buffer.from('\r\nb\n')])
  for (const size of [1, 7, 1000, 4096, 65_536, 1_000_000]) {
    const chunks: Buffer[] = []
    for (let at = 0; at < input.length; at += size) chunks.push(input.subarray(at, at + size))
    const result = split(chunks, 20_000)
    t.same(result.lines, ['a', 'b'])
    t.equal(result.long.length, 1)
    t.match(result.long[0], { length: long.length, sha256: sha256(long) })
    t.ok(result.long[0]?.head.equals(long.subarray(0, 4096)), `head, in chunks of ${size}`)
    t.ok(result.long[0]?.tail.equals(long.subarray(-1024)), `tail, in chunks of ${size}`)
  }
})

t.test('any cutting into chunks gives the same lines', async () => {
  const text = fc.array(fc.constantFrom('a', 'bc', '\n', '\r', '\r\n', 'ä', 'x'.repeat(30)), {
    maxLength: 60,
    size: 'max'
  })
  const cuts = fc.array(fc.nat(300), { maxLength: 20, size: 'max' })
  const property = fc.property(text, cuts, fc.integer({ min: 1, max: 40 }), (parts, cuts, maxLine) => {
    const bytes = Buffer.from(parts.join(''))
    const chunks: Buffer[] = []
    let start = 0
    for (const cut of [...cuts, bytes.length].sort((a, b) => a - b)) {
      chunks.push(bytes.subarray(start, Math.max(start, cut)))
      start = Math.max(start, Math.min(cut, bytes.length))
    }
    const expected = bytes
      .toString('latin1')
      .split('\n')
      .map(line => line.replace(/\r$/, ''))
      .filter(line => line !== '')
    const { lines, long } = split(chunks, maxLine)
    const fitting = expected.filter(line => line.length <= maxLine)
    const longer = expected.filter(line => line.length > maxLine)
    if (JSON.stringify(lines) !== JSON.stringify(fitting)) throw new Error(`lines ${JSON.stringify(lines)}`)
    const hashes = longer.map(line => `${line.length} ${sha256(Buffer.from(line, 'latin1'))}`)
    if (long.map(l => `${l.length} ${l.sha256}`).join() !== hashes.join()) throw new Error('oversize lines differ')
    for (const [n, { head, tail }] of long.entries()) {
      const whole = longer[n]!
      if (head.toString('latin1') !== whole || tail.toString('latin1') !== whole) throw new Error('ends differ')
    }
  })
  fc.assert(property, { numRuns: 2000 })
})

// Copying what is held at every chunk would be some 10^13 bytes here, far beyond the test's time limit.
t.test('a huge line in tiny chunks costs no quadratic copying', async t => {
  const chunk = Buffer.alloc(8, 'x')
  let length = 0
  const splitter = new LineSplitter(16 * 1024 * 1024, {
    line: line => {
      length = line.length
    },
    oversize: () => t.fail('it fits')
  })
  for (let n = 0; n < 2 * 1024 * 1024; n++) splitter.push(chunk)
  splitter.end()
  t.equal(length, 16 * 1024 * 1024)
})

t.test('a line without end holds no more than its limit', async t => {
  const chunk = Buffer.alloc(1024 * 1024, 'x')
  const result: number[] = []
  const splitter = new LineSplitter(1024 * 1024, { line: () => {}, oversize: info => result.push(info.length) })
  const before = process.memoryUsage().arrayBuffers
  for (let n = 0; n < 256; n++) splitter.push(chunk)
  t.ok(process.memoryUsage().arrayBuffers - before < 16 * 1024 * 1024)
  splitter.end()
  t.same(result, [256 * 1024 * 1024])
})
