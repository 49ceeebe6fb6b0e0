import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const source = new URL('../../src/cli/small-heap.ts', import.meta.url).href

/** What a process writes that keeps its heap small, as if this were its V8. */
function keeping(v8?: string): { out: string; err: string } {
  const script = `import { keepHeapSmall } from ${JSON.stringify(source)}
console.log(keepHeapSmall(${v8 === undefined ? '' : JSON.stringify(v8)}))`
  const args = ['--no-warnings', '--input-type=module', '-e', script]
  const { stdout, stderr } = spawnSync(process.execPath, args, {
    encoding: 'utf8',
    cwd: fileURLToPath(new URL('.', source))
  })
  return { out: stdout.trim(), err: stderr }
}

t.test('V8 is told to keep its heap small, and has nothing to say to it', async t => {
  const known = Number.parseInt(process.versions.v8, 10) <= 13
  t.strictSame(keeping(), { out: String(known), err: '' })
})

t.test('nothing is set in versions of V8 that may not know it', async t => {
  for (const v8 of ['10.2.154.26-node.22', '14.6.202.33-node.1', '', 'JavaScriptCore'])
    t.strictSame(keeping(v8), { out: 'false', err: '' }, v8)
})
