/** Lines on their way to something slow: shared writes, a bound, counted drops. */
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { descriptorWriter, LineSink } from '../../src/admin/line-sink.ts'
import { trackLeaks } from '../helpers/leaks.ts'

/** Something that takes text when it is told to. */
function slow(): { write: (text: string) => Promise<void>; taken: string[]; release: () => void } {
  const taken: string[] = []
  const waiting: (() => void)[] = []
  return {
    taken,
    write: text => {
      taken.push(text)
      return new Promise(resolve => waiting.push(resolve))
    },
    release: () => waiting.shift()?.()
  }
}

t.test('what comes together is written together', async t => {
  trackLeaks(t)
  const taken: string[] = []
  const sink = new LineSink(text => taken.push(text))
  for (let i = 0; i < 100; i++) sink.add(`line ${i}`)
  t.same(taken, [])
  await sink.close()
  t.equal(taken.length, 1)
  t.equal(taken[0]!.split('\n').length, 101)
  t.same([sink.lines, sink.drops], [100, 0])
})

t.test('a line does not wait long for others', async t => {
  trackLeaks(t)
  const written = new Promise(resolve => {
    const sink = new LineSink(resolve)
    sink.add('one')
  })
  t.equal(await written, 'one\n')
})

t.test('much is written at once', async t => {
  trackLeaks(t)
  const taken: string[] = []
  const sink = new LineSink(text => taken.push(text))
  sink.add('x'.repeat(70_000))
  t.equal(taken.length, 1)
  await sink.close()
})

t.test('while the other side takes nothing, lines wait up to a bound; the rest is dropped and counted', async t => {
  trackLeaks(t)
  const { write, taken, release } = slow()
  const sink = new LineSink(write, { maxWaiting: 100_000 })
  sink.add('x'.repeat(65_536))
  t.equal(taken.length, 1)
  for (let i = 0; i < 300; i++) sink.add('y'.repeat(999))
  t.equal(taken.length, 1, 'nothing more is written meanwhile')
  t.equal(sink.ready, false)
  t.equal(sink.drops, 200)
  release()
  await new Promise(resolve => setImmediate(resolve))
  t.equal(taken.length, 2)
  t.equal(taken[1]!.length, 100_000)
  t.equal(sink.ready, true)
  release()
  await sink.close()
  t.same([sink.lines, sink.drops], [101, 200])
})

t.test('one that fails is told of once, and dropped', async t => {
  trackLeaks(t)
  for (const write of [
    () => Promise.reject(new Error('full')),
    () => {
      throw new Error('full')
    }
  ]) {
    const errors: unknown[] = []
    const sink = new LineSink(write, { onError: error => errors.push(error) })
    sink.add('x'.repeat(70_000))
    await new Promise(resolve => setImmediate(resolve))
    sink.add('more')
    await sink.close()
    t.equal(errors.length, 1)
    t.ok(sink.drops >= 1)
  }
})

t.test('one that never takes anything does not keep anybody from closing', async t => {
  trackLeaks(t)
  const sink = new LineSink(() => new Promise(() => {}))
  sink.add('x'.repeat(70_000))
  sink.add('one')
  await sink.close(20)
  sink.add('two')
  t.equal(sink.drops, 2)
})

t.test('whatever comes in whatever order, each line is written once, in order, or counted', async t => {
  trackLeaks(t)
  await fc.assert(
    fc.asyncProperty(fc.array(fc.oneof(fc.nat(40_000), fc.constant(-1)), { maxLength: 60 }), async steps => {
      const { write, taken, release } = slow()
      const sink = new LineSink(write, { maxWaiting: 90_000 })
      let added = 0
      for (const step of steps) {
        if (step >= 0) sink.add(`${String(added++).padStart(4, '0')}${'x'.repeat(step)}`)
        else {
          release()
          await Promise.resolve()
        }
      }
      const closed = sink.close()
      for (let i = 0; i < 8 * steps.length + 8; i++) {
        release()
        await Promise.resolve()
      }
      await closed
      const numbers = taken
        .join('')
        .split('\n')
        .slice(0, -1)
        .map(line => Number(line.slice(0, 4)))
      return numbers.every((n, i) => i === 0 || numbers[i - 1]! < n) && numbers.length + sink.drops === added
    }),
    { numRuns: 50 }
  )
})

t.test('into a file, by a thread of its own', async t => {
  trackLeaks(t)
  const dir = mkdtempSync(path.join(tmpdir(), 'catflap-lines-'))
  t.teardown(() => rmSync(dir, { recursive: true }))
  const file = path.join(dir, 'access.log')
  const fd = openSync(file, 'a')
  const sink = new LineSink(descriptorWriter(fd))
  for (let i = 0; i < 10_000; i++) sink.add(`line ${i} ä`)
  await sink.close(5_000)
  closeSync(fd)
  t.equal(readFileSync(file, 'utf8'), Array.from({ length: 10_000 }, (_, i) => `line ${i} ä\n`).join(''))
})
