/** Events of a bounded size, however the stream was cut into chunks. */
import fc from 'fast-check'
import t from 'tap'
import { EventSplitter } from '../../src/transport/upstream/sse-events.ts'

const LIMIT = 6_000

/** `name:data` of each event; of those over the limit `name!length:head…tail`. */
function split(chunks: readonly Buffer[], maxData = LIMIT): string[] {
  const out: string[] = []
  const splitter = new EventSplitter(maxData, {
    event: ({ event = '', data }) => data !== undefined && out.push(`${event}:${data}`),
    oversize: ({ head, tail, length }, event) =>
      out.push(`${event}!${length}:${head.subarray(0, 10)}…${tail.subarray(-10)}`)
  })
  for (const chunk of chunks) splitter.push(chunk)
  return out
}

t.test('the same events come of the same bytes in any chunks', async t => {
  const ending = fc.constantFrom('\n', '\r\n', '\r')
  const line = fc.tuple(
    fc.constantFrom('data: ', 'data:', 'event: a', ': ', 'id: '),
    fc.constantFrom('', 'x', 'é', 'y'.repeat(7_500)),
    ending
  )
  const event = fc
    .tuple(
      fc.array(
        line.map(parts => parts.join('')),
        { maxLength: 4 }
      ),
      ending
    )
    .map(([l, end]) => l.join('') + end)
  fc.assert(
    fc.property(fc.array(event, { maxLength: 5 }), fc.array(fc.nat(20_000), { maxLength: 8 }), (events, cuts) => {
      const bytes = Buffer.from(events.join(''))
      const at = [0, ...cuts.map(c => c % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
      const chunks = at.slice(1).map((end, i) => bytes.subarray(at[i], end))
      // A CR that ends a chunk ends the line; its LF, when that follows, makes no event more.
      t.same(split(chunks), split([bytes]))
    }),
    { numRuns: 200 }
  )
})

t.test('an event over the limit is known by its two ends, and harms no other', async t => {
  const long = `{"id":1,${' '.repeat(LIMIT)}"end":2}`
  const stream = `data: a\n\nevent: message\ndata: ${long}\nid: 7\n\n: ${'c'.repeat(9_000)}\n\ndata: b\n\n`
  const expected = [':a', `message!${long.length}:{"id":1,  …  "end":2}`, ':b']
  t.same(split([Buffer.from(stream)]), expected)
  t.same(split([...Buffer.from(stream)].map(byte => Buffer.of(byte))), expected)
  for (const ending of ['\r', '\r\n']) t.same(split([Buffer.from(stream.replaceAll('\n', ending))]), expected)
})

t.test('the limit is for the data', async t => {
  const fits = `event: message\r\ndata: ${'x'.repeat(LIMIT)}\r\n\r\n`
  t.match(split([Buffer.from(fits)]), [/^message:x/])
  t.match(split([Buffer.from(fits.replace('xx', 'xxx'))]), [/^message!6001:x/])
})
