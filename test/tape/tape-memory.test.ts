import { open } from 'node:fs/promises'
import path from 'node:path'
import t, { type Test } from 'tap'
import { keepHeapSmall } from '../../src/cli/small-heap.ts'
import { folderOf, HEADER } from './fixtures.ts'
import { run } from './tool-fixtures.ts'

/** Never answered, each of another session, method and tool: whatever is remembered of a tape grows with these. */
async function manyFrames(file: string, count: number): Promise<string> {
  const handle = await open(file, 'w')
  let lines = `${HEADER}\n`
  for (let n = 1; n <= count; n++) {
    const params = { name: `tool-${n}`, arguments: { secret: `value-${n}` }, _meta: { progressToken: `token-${n}` } }
    const text = JSON.stringify({ jsonrpc: '2.0', id: n, method: n % 2 ? 'tools/call' : `method-${n}`, params })
    const place = { side: 'client', dir: 'up', kind: 'message', session: `session-${n}`, stream: `post-${n}` }
    lines += `${JSON.stringify({ n, t: n, ...place, text })}\n`
    if (lines.length < 1_000_000 && n < count) continue
    await handle.write(lines)
    lines = ''
  }
  await handle.close()
  return file
}

/** MB, at most at any time. */
async function memoryOf(t: Test, args: string[]): Promise<number> {
  const { code, err } = await run(t, args, { env: { CATFLAP_TEST_MEMORY: '1' } })
  t.equal(code, 0, `${args[0]} ${err}`)
  return Number(err.split('\0').at(-1)) / 1000
}

/** With MB that many frames may add to what a few take: it is twice as much where V8 is left to let its heap grow. */
const commands: readonly (readonly [atMost: number, ...args: string[]])[] = [
  [50, 'show', '--method', 'method-2'],
  [50, 'stats'],
  [90, 'cut', '--method', 'tools/*', '-o'],
  [50, 'redact', '--redact-json', '/params/arguments/secret', '-o']
]
/** Where V8 cannot be told. */
const MORE = keepHeapSmall() ? 0 : 150

t.test('memory does not grow with the tape, whatever is on it', async t => {
  const folder = await folderOf(t)
  const few = await manyFrames(path.join(folder, 'few.tape.jsonl'), 10)
  const many = await manyFrames(path.join(folder, 'many.tape.jsonl'), 60_000)
  // Each line is searched for a thousand secrets, which takes its time.
  const secret = await manyFrames(path.join(folder, 'secret.tape.jsonl'), 10_000)
  const before = await memoryOf(t, ['stats', few])
  for (const [atMost, command, ...options] of commands) {
    const after = await memoryOf(t, [
      command!,
      command === 'redact' ? secret : many,
      ...options,
      ...(options.at(-1) === '-o' ? [`${many}.out-${command}`] : [])
    ])
    const told = `${command}: ${Math.round(before)} MB of few frames, ${Math.round(after)} MB of many`
    t.comment(told)
    t.ok(after - before < atMost + MORE, told)
  }
})
