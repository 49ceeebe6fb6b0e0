import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import t from 'tap'
import { groupGone, signalGroup } from '../../src/transport/upstream/process-group.ts'

const linuxOnly = { skip: process.platform === 'linux' ? false : 'Linux only' }

t.test('a group is gone when its last member is', { skip: process.platform === 'win32' }, async t => {
  const leader = spawn('sleep', ['1000'], { detached: true, stdio: 'ignore' })
  const pid = leader.pid!
  t.equal(await groupGone(pid, 0), false)
  t.equal(signalGroup(pid, 'SIGKILL'), true)
  await once(leader, 'exit')
  t.equal(await groupGone(pid, 5000), true)
  t.equal(signalGroup(pid, 'SIGKILL'), false, 'a signal to nobody is no error')
})

t.test('zombies that nobody reaps count as gone', linuxOnly, async t => {
  // `sleep` takes the place of the shell that started `cat`, and does not know that it has a child to wait for.
  const script = 'exec 3<&0; setsid cat <&3 & echo $!; exec sleep 1000 3<&- <&-'
  const parent = spawn('/bin/sh', ['-c', script], { stdio: ['pipe', 'pipe', 'ignore'] })
  t.teardown(() => parent.kill('SIGKILL'))
  const [output] = await once(parent.stdout, 'data')
  const zombie = Number(String(output))
  // The shell would wait for it.
  while (readFileSync(`/proc/${parent.pid}/comm`, 'utf8') !== 'sleep\n') await new Promise(setImmediate)
  // And there is a group only once `setsid` has made one.
  while (!signalGroup(zombie, 0)) await new Promise(setImmediate)
  t.equal(await groupGone(zombie, 0), false)
  parent.stdin.end()
  t.equal(await groupGone(zombie, 10_000), true)
  t.equal(signalGroup(zombie, 0), true, 'although the system still answers for them')
})
