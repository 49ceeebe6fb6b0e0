import fc from 'fast-check'
import t from 'tap'
import {
  encodeChangedEvent,
  encodeMessageEvent,
  SseBoundary,
  type SseEvent,
  SseEventTooLarge,
  SseParser
} from '../../src/protocol/sse.ts'

/** Cuts `bytes` at the given places, whatever they are. */
function chunks(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const at = [...new Set([0, ...cuts.map(c => c % (bytes.length + 1)), bytes.length])].sort((a, b) => a - b)
  return at.slice(1).map((end, i) => bytes.subarray(at[i]!, end))
}

function parseAll(pieces: readonly Buffer[]): { events: SseEvent[]; rest: Buffer } {
  const parser = new SseParser(1 << 20)
  const events = pieces.flatMap(piece => parser.push(piece))
  return { events, rest: parser.rest() }
}

const plain = (e: SseEvent): object => ({ id: e.id, event: e.event, retry: e.retry, data: e.data?.toString() })

t.test('fields are read as the standard says', async t => {
  const text = [
    '\ufeffdata: first',
    '',
    ': a comment',
    'event: message',
    'id: 7',
    'retry: 1500',
    'data:one',
    'data:  two',
    'data',
    'unknown: x',
    '',
    'id: with\u0000nul',
    'retry: 1x',
    '',
    'data: never ended'
  ].join('\n')
  const { events, rest } = parseAll([Buffer.from(text)])
  t.same(events.map(plain), [
    { id: undefined, event: undefined, retry: undefined, data: 'first' },
    { id: '7', event: 'message', retry: 1500, data: 'one\n two\n' },
    { id: undefined, event: undefined, retry: undefined, data: undefined }
  ])
  t.equal(rest.toString(), 'data: never ended')
})

const line = fc.stringMatching(/^[^\r\n]{0,12}$/)
const ending = fc.constantFrom('\n', '\r\n', '\r')

t.test('however a stream is cut, its events are the same and their raw bytes are the stream', async () => {
  const stream = fc.array(
    fc.tuple(fc.constantFrom('data: ', 'id: ', 'event: ', ': ', 'retry: ', '', 'x'), line, ending),
    { maxLength: 30 }
  )
  fc.assert(
    fc.property(stream, fc.array(fc.nat(), { maxLength: 10 }), (lines, cuts) => {
      const bytes = Buffer.from(lines.map(l => l.join('')).join(''))
      const whole = parseAll([bytes])
      const cut = parseAll(chunks(bytes, cuts))
      const joined = Buffer.concat([...cut.events.map(e => e.raw), cut.rest])
      // A CRLF that is cut in two belongs to the event before it or to the one behind it; what they say is the same.
      const says = (events: SseEvent[]): object[] =>
        events.map(plain).filter(e => Object.values(e).some(v => v !== undefined))
      return joined.equals(bytes) && JSON.stringify(says(cut.events)) === JSON.stringify(says(whole.events))
    }),
    { numRuns: 1000 }
  )
})

t.test('a boundary is known however the stream is cut', async () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom('data: x', '\n', '\r\n', '\r', ':c', 'id:1'), { maxLength: 20 }),
      fc.array(fc.nat()),
      (parts, cuts) => {
        const bytes = Buffer.from(parts.join(''))
        const boundary = new SseBoundary()
        for (const piece of chunks(bytes, cuts)) boundary.feed(piece)
        const { rest } = parseAll([bytes])
        return boundary.atBoundary === (rest.toString().replace(/^\n/, '') === '')
      }
    ),
    { numRuns: 1000 }
  )
})

t.test('fields are a sign of life, comments are not', async t => {
  const boundary = new SseBoundary()
  t.equal(boundary.feed(Buffer.from(': ping\n\n')), false)
  t.equal(boundary.feed(Buffer.from('da')), true)
  t.equal(boundary.feed(Buffer.from('ta: x')), true)
  t.equal(boundary.feed(Buffer.from('\n\n')), false)
  t.equal(boundary.feed(Buffer.from(': pi')), false)
  t.equal(boundary.feed(Buffer.from('ng\n\ndata: x\n\n')), true)
})

t.test('an event beyond the limit is an error before it is held', async t => {
  const parser = new SseParser(100)
  t.equal(parser.push(Buffer.from(`data: ${'x'.repeat(80)}\n\n`)).length, 1)
  t.throws(() => {
    for (let i = 0; i < 20; i++) parser.push(Buffer.from('data: 0123456789'))
  }, SseEventTooLarge)
})

t.test('a message event reads back as the message, a changed one keeps id, name and retry', async t => {
  const { events } = parseAll([encodeMessageEvent(Buffer.from('{"a":1}'))])
  t.match(events[0], { event: 'message' })
  t.equal(events[0]!.data!.toString(), '{"a":1}')
  const original = parseAll([Buffer.from('id: 9\nevent: message\nretry: 10\ndata: {"a":1}\n\n')]).events[0]!
  const changed = parseAll([encodeChangedEvent(original, Buffer.from('{}'))]).events
  t.same(changed.map(plain), [{ id: '9', event: 'message', retry: 10, data: '{}' }])
  const dropped = parseAll([encodeChangedEvent(original, undefined)]).events
  t.same(dropped.map(plain), [{ id: '9', event: undefined, retry: 10, data: undefined }], 'resumption hangs on the id')
  t.equal(encodeChangedEvent(parseAll([Buffer.from('data: x\n\n')]).events[0]!, undefined).length, 0)
})

t.test('lines that end in CR alone cost what they weigh, not its square', async t => {
  const time = (kib: number): number => {
    const bytes = Buffer.from(`${'a\r'.repeat(kib * 512)}\r`)
    const startedAt = performance.now()
    new SseBoundary().feed(bytes)
    t.equal(new SseParser(1e9).push(bytes).length, 1)
    return performance.now() - startedAt
  }
  time(256)
  const [small, large] = [time(256), time(8 * 256)]
  // 8 when linear, 64 when not; a busy machine may double either.
  t.ok(large < 30 * Math.max(small, 5), `${small} ms, ${large} ms`)
})

t.test('a line ends at its first LF or CR, however long it is', async t => {
  for (const length of [0, 1, 63, 64, 65, 1087, 1088, 1089, 5183, 5184, 5185, 300_000])
    for (const end of ['\n\n', '\r\r', '\r\n\r\n']) {
      const text = `data: ${'x'.repeat(length)}${end}`
      const { events, rest } = parseAll([Buffer.from(`${text}data: y\n\n`)])
      t.same([events[0]?.raw.toString(), events[1]?.data?.toString(), rest.length], [text, 'y', 0], `${length}`)
    }
})
