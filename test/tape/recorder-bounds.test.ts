/** What the recorder keeps in memory and how long it waits, whatever the disk does. */
import { spawnSync } from 'node:child_process'
import { closeSync, constants, openSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { FrameBus } from '../../src/tape/bus.ts'
import type { Frame } from '../../src/tape/frame.ts'
import { costOf, FrameQueue } from '../../src/tape/frame-queue.ts'
import { folderOf, linesOf, message, note, recorderAt } from './fixtures.ts'

t.test('block: those who cannot wait are bounded too; what is lost is counted and marked', async t => {
  const file = path.join(await folderOf(t), 'a.tape.jsonl')
  const recorder = await recorderAt(file, { maxQueueBytes: 50_000 })
  const bus = new FrameBus()
  bus.subscribe(recorder)
  // A child's stderr asks nobody.
  for (let i = 0; i < 1000; i++) bus.publish(note('stderr', 'x', { bytes: Buffer.alloc(2000), session: 's1' }))
  const { drops, queued } = recorder.stats
  t.ok(queued <= 40, `${queued} queued`)
  t.equal(drops, 1000 - queued)
  await bus.blocked()
  recorder.frame(message({ last: true }, { session: 's1' }))
  await recorder.close()
  const lines = await linesOf(file)
  const marks = lines.filter(l => l.note === 'dropped')
  t.equal(marks.length, 1)
  t.match(marks[0], { session: 's1', data: { count: drops } })
})

t.test('frames that are lost in ever new sessions cost bounded memory', async t => {
  const file = path.join(await folderOf(t), 'a.tape.jsonl')
  const recorder = await recorderAt(file, { maxQueueBytes: 1, overflow: 'drop' })
  for (let i = 0; i < 5000; i++) recorder.frame(message({}, { session: `s${i}` }))
  await recorder.close()
  const marks = (await linesOf(file)).filter(l => l.note === 'dropped')
  t.ok(marks.length <= 1025)
  t.equal(
    marks.reduce((sum, m) => sum + (m.data!.count as number), 0),
    4999
  )
})

t.test(
  'a frame that cannot be written ends the recording, not the process; what stood before it can be read',
  async t => {
    const file = path.join(await folderOf(t), 'a.tape.jsonl')
    const reasons: string[] = []
    const options = {
      maxQueueBytes: 1_000_000,
      overflow: 'drop',
      onError: (reason: string) => reasons.push(reason)
    } as const
    const recorder = await recorderAt(file, options)
    recorder.frame(message({ first: true }))
    await recorder.flush()
    recorder.frame(note('stderr', 'x', { data: { number: 1n as unknown as number } }))
    for (let i = 0; i < 30; i++) recorder.frame(message({ i }))
    recorder.frame(message({ pad: 'x'.repeat(2_000_000) }))
    t.equal(recorder.stats.drops, 1)
    // With the mark of what was lost before it, enough has gathered to be encoded at once.
    recorder.frame(message({ last: true }))
    t.equal(recorder.failed, true)
    t.equal(recorder.stats.queued, 0)
    await recorder.flush()
    await recorder.close()
    t.equal(recorder.failed, true)
    t.equal(reasons.length, 1)
    t.match(await linesOf(file), [{ text: /first/ }])
  }
)

t.test(
  'a disk that takes nothing fails the recording when it is closed, in time',
  { skip: process.platform === 'win32' && 'there are no FIFOs' },
  async t => {
    const file = path.join(await folderOf(t), 'hung.fifo')
    spawnSync('mkfifo', [file])
    const reader = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK)
    const reasons: string[] = []
    const recorder = await recorderAt(file, { patience: 50, onError: reason => reasons.push(reason) })
    for (let i = 0; i < 10; i++) recorder.frame(message({ pad: 'x'.repeat(100_000) }))
    await recorder.close()
    t.match(reasons, [/nothing could be written to .*hung\.fifo for 50 ms; what was queued is lost/])
    t.equal(reasons.length, 1)
    t.equal(recorder.failed, true)
    // So that the thread that waits in `write` comes back.
    closeSync(reader)
  }
)

t.test('a queue that never gets empty hands out what it was given, in order, and counts it', async t => {
  const queue = new FrameQueue()
  const given: Frame[] = []
  for (let i = 0; i < 10_000; i++) {
    for (let k = 0; k < 2; k++) {
      given.push(message({ i, k, pad: 'x'.repeat(i % 7) }))
      queue.push(given.at(-1)!)
    }
    const shifts = i < 5_000 ? 1 : 3
    for (let k = 0; k < shifts; k++) {
      if (queue.first !== given.shift()) t.fail('not the next one')
      queue.shift()
    }
    if (queue.length !== given.length) t.fail('not as many')
    if (i === 7_000)
      t.equal(
        queue.cost,
        given.reduce((sum, frame) => sum + costOf(frame), 0)
      )
  }
  t.strictSame([queue.length, queue.cost, queue.first], [0, 0, undefined])
})
