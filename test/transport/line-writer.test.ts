/** Lines of one turn of the event loop share a system call. */
import { once } from 'node:events'
import { Writable } from 'node:stream'
import t from 'tap'
import { LineWriter } from '../../src/transport/line-writer.ts'

t.test('the first line of a turn goes at once, the rest in one write', async t => {
  const writes: string[][] = []
  const stream = new Writable({
    highWaterMark: 6,
    write: (chunk: Buffer, _encoding, done) => {
      writes.push([String(chunk)])
      done()
    },
    writev: (chunks, done) => {
      writes.push(chunks.map(({ chunk }) => String(chunk)))
      done()
    }
  })
  const writer = new LineWriter(stream)
  const write = (text: string) => writer.write(Buffer.from(text))
  t.same(['a', 'b', 'c', 'd'].map(write), [true, true, true, false], 'what is held counts as not yet written')
  t.same(writes, [['a\n']])
  const drained = once(stream, 'drain')
  await new Promise(setImmediate)
  t.same(writes, [['a\n'], ['b\n', 'c\n', 'd\n']])
  await drained
  write('e')
  await new Promise(setImmediate)
  write('f')
  write('g')
  stream.end()
  t.same(writes.slice(2), [['e\n'], ['f\n'], ['g\n']], 'the end keeps nothing back')
  await once(stream, 'finish')
  t.equal(stream.writableCorked, 0)
})

t.test('a long line and its LF are not copied, and go in one write, too', async t => {
  const sizes: number[][] = []
  const stream = new Writable({
    writev: (chunks, done) => {
      sizes.push(chunks.map(({ chunk }) => chunk.length))
      done()
    }
  })
  const writer = new LineWriter(stream)
  writer.write(Buffer.alloc(20_000))
  writer.write(Buffer.alloc(30_000))
  writer.write(Buffer.alloc(3))
  await new Promise(setImmediate)
  t.same(sizes, [
    [20_000, 1],
    [30_000, 1, 4]
  ])
})
