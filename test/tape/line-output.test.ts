import { once } from 'node:events'
import { Writable } from 'node:stream'
import t from 'tap'
import { LineOutput } from '../../src/tape/line-output.ts'

t.test('lines that are written on while the reader is slow wait together', async t => {
  const took: string[] = []
  let take: (() => void) | undefined
  const stream = new Writable({
    decodeStrings: false,
    write(text: string, _, done) {
      took.push(text)
      take = done
    }
  })
  const out = new LineOutput(stream)
  const waits = Array.from({ length: 30 }, (_, i) => out.write(String.fromCharCode(65 + i).repeat(70_000)))
  t.equal(stream.listenerCount('drain'), 1)
  t.equal(stream.listenerCount('close'), 2, 'its own, and that of who waits')
  const drained = once(stream, 'drain')
  while (took.length < 30) {
    take!()
    await new Promise(setImmediate)
  }
  take!()
  await drained
  await Promise.all(waits)
  await out.end()
  t.equal(took.join('').length, 30 * 70_001)
  t.equal(stream.listenerCount('drain'), 0)
})
