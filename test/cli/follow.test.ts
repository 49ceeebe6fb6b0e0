import { appendFileSync, mkdirSync, renameSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { Follower } from '../../src/cli/follow.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { Inbox } from '../helpers/wait.ts'

t.test('a file that is written, replaced, or reached by a link that is turned has changed', async t => {
  trackLeaks(t)
  const folder = t.testdir({ one: { 'a.yaml': '1' }, two: { 'a.yaml': '22' }, 'b.yaml': '1' })
  const link = path.join(folder, 'now')
  symlinkSync('one', link)
  const [a, b] = [path.join(link, 'a.yaml'), path.join(folder, 'b.yaml')]
  const changes = new Inbox<string>('changes')
  const follower = new Follower(() => changes.push('changed'), { every: 20 })
  t.teardown(() => follower.close())
  follower.follow([a, b], Date.now() + 60_000)
  await follower.looked
  writeFileSync(b, '22')
  await changes.next()
  writeFileSync(`${b}.new`, '333')
  renameSync(`${b}.new`, b)
  await changes.next()
  symlinkSync('two', `${link}.new`)
  renameSync(`${link}.new`, link)
  await changes.next()
  unlinkSync(b)
  mkdirSync(path.join(folder, 'three'))
  writeFileSync(b, '4444')
  await changes.next()
  follower.follow([a, b], 0)
  follower.follow([link], 0)
  await changes.next()
  follower.follow([], 0)
})

t.test('a file that is still being written is waited for', async t => {
  trackLeaks(t)
  const file = path.join(t.testdir({ 'a.yaml': '' }), 'a.yaml')
  let changes = 0
  let grown = 0
  const done = new Inbox<string>('changes')
  const follower = new Follower(
    () => {
      changes++
      done.push(`after ${grown}`)
    },
    { every: 50 }
  )
  t.teardown(() => follower.close())
  follower.follow([file], Date.now() + 60_000)
  await follower.looked
  await new Promise<void>(resolve => {
    const timer = setInterval(() => {
      appendFileSync(file, `line ${++grown}\n`)
      if (grown < 20) return
      clearInterval(timer)
      resolve()
    }, 10)
  })
  t.equal(await done.next(), 'after 20')
  t.equal(changes, 1)
})
