/** What a large tape takes, and that nothing is lost by it. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import type { RecordedRequest, Step } from '../../src/replay/recording.ts'
import { down, JSON_HEAD, notice, read, request, requestsOf, result, tapeOf, up } from './recording-door.ts'

const run = promisify(execFile)

for (const [exchanges, progress] of [
  [100_000, 0],
  [30_000, 3]
] as const)
  t.test(`a large tape takes less than 100 bytes a frame (progress: ${progress})`, { timeout: 240_000 }, async t => {
    const program = fileURLToPath(new URL('./large-tape.ts', import.meta.url))
    const facts = [t.testdir({}), String(exchanges), String(progress)]
    const { stdout } = await run(process.execPath, ['--expose-gc', program, ...facts])
    const { frames, asked, wrong, last, perFrame, perFrameUsed } = JSON.parse(stdout) as Record<string, number>
    const perExchange = 2 + progress
    t.same({ frames, wrong, last }, { frames: perExchange * exchanges, wrong: 0, last: perExchange * (exchanges - 1) })
    t.equal(asked, Math.ceil(exchanges / 97))
    t.ok(perFrame! < 100, `${perFrame} bytes a frame`)
    t.ok(perFrameUsed! < 100, `${perFrameUsed} bytes a frame when a client has asked`)
  })

t.test('names, ids and tokens that are too many to be held are read from the tape', async t => {
  const count = 10_100
  const ids = [`"id"`, '-1', '1.5', '12345678901234567890', '1e3', '0', '999999999', '"é\\u0000"']
  const idOf = (i: number): string => ids[i] ?? String(i)
  const tokenOf = (i: number): string | undefined => [undefined, idOf(i), `"token-${i}"`][i % 3]
  const messageOf = (i: number): string => {
    const token = tokenOf(i)
    const meta = token === undefined ? '' : `,"_meta":{"progressToken":${token}}`
    return `{"jsonrpc":"2.0","id":${idOf(i)},"method":"vendor/m${i}","params":{"name":"n${i}"${meta}}}`
  }
  const file = tapeOf(
    t,
    Array.from({ length: count }, (_, i) => up(`post-${i}`, messageOf(i), { redacted: [`/params/x${i % 20}`] }))
  )
  for (const keepInMemory of [0, undefined]) {
    const recording = await read(t, file, { keepInMemory })
    const wrong = requestsOf(recording.legacy[0]).filter(
      (step, i) =>
        step.id !== idOf(i) ||
        step.progressToken !== tokenOf(i) ||
        step.method !== `vendor/m${i}` ||
        step.subject !== `n${i}` ||
        step.redacted[0] !== `/params/x${i % 20}`
    )
    t.same(
      wrong.slice(0, 3).map(({ id, method, subject, progressToken }) => ({ id, method, subject, progressToken })),
      []
    )
    t.equal(requestsOf(recording.legacy[0]).length, count)
  }
})

t.test('a step is the same object whoever asks for it, as long as somebody has it', async t => {
  const recording = await read(
    t,
    tapeOf(t, [
      up('post-1', request(1, 'tools/call', { name: 'a', _meta: { progressToken: 'p' } })),
      up('post-2', notice('notifications/cancelled', { requestId: 1 })),
      down('post-1', request('q', 'roots/list')),
      up('post-3', result('q')),
      down('post-1', notice('notifications/progress', { progressToken: 'p', progress: 1 })),
      down('post-1', result(1), { http: JSON_HEAD })
    ])
  )
  const conversation = recording.legacy[0]!
  const had = new Set<Step>(conversation.steps)
  // What was looked at in this turn is kept until it is over.
  await new Promise(resolve => setImmediate(resolve))
  const [call, cancel, answer] = conversation.steps as [RecordedRequest, Step, Step]
  t.ok([call, cancel, answer].every(step => had.has(step)))
  t.equal(cancel.kind === 'notification' && cancel.cancels, call)
  t.equal(answer.kind === 'answer' && answer.to, call.said[0])
  t.equal(call.said[0]?.answer, answer)
  t.equal(call.said[1]?.names, call)
})

t.test('thousands of clients without a session are one conversation, soon', { timeout: 120_000 }, async t => {
  const count = 4000
  const frames = Array.from({ length: count }, (_, i) => [
    up(`post-${i}`, request(i, 'initialize', { protocolVersion: '2025-11-25' }), { session: `s${i}` }),
    down(`post-${i}`, result(i, { protocolVersion: '2025-11-25' }), { session: `s${i}`, http: JSON_HEAD })
  ]).flat()
  const file = tapeOf(t, frames)
  const cpu = process.cpuUsage()
  const { legacy } = await read(t, file)
  const { user } = process.cpuUsage(cpu)
  t.same([legacy.length, legacy[0]?.steps.length], [1, count])
  t.ok(user < 10_000_000, `${user} µs of the processor`)
})
