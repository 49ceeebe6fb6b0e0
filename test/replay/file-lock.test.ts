import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { locked } from '../../src/replay/file-lock.ts'

t.test('one after another; a lock that was left behind is taken away', async t => {
  const file = path.join(t.testdir({}), 'a')
  writeFileSync(`${file}.lock`, '')
  let inside = 0
  const alone = async (): Promise<number> => {
    const others = inside++
    await new Promise(setImmediate)
    inside--
    return others
  }
  t.same(await Promise.all([1, 2, 3].map(() => locked(file, alone))), [0, 0, 0])
  t.notOk(existsSync(`${file}.lock`))
})

t.test('what stands in the way and cannot be taken away holds nobody up for good', async t => {
  const file = path.join(t.testdir({}), 'a')
  mkdirSync(`${file}.lock`)
  t.equal(await locked(file, async () => 'done'), 'done')
  t.ok(existsSync(`${file}.lock`))
})
