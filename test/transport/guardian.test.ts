import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { Child } from '../../src/transport/upstream/child.ts'
import { guardian } from '../../src/transport/upstream/guardian.ts'
import { type Member, rollCall } from '../fixtures/children/roll-call.ts'

type Test = Parameters<Parameters<typeof t.test>[0]>[0]

const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/children/${name}`, import.meta.url))
const posixOnly = { skip: process.platform === 'win32' ? 'POSIX only' : false }

/** A process of its own that owns a family (host.ts), and the family. */
async function host(t: Test, end: string, roles: readonly string[]) {
  const calls = await rollCall()
  const args = [fixture('host.ts'), end, fixture('family.mjs'), String(calls.port), ...roles]
  const process = spawn(globalThis.process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  t.teardown(() => {
    calls.close()
    process.kill('SIGKILL')
  })
  const lines = createInterface({ input: process.stdout })
  const tellGuardian = async (): Promise<number> => Number(String((await once(lines, 'line'))[0]).split(' ')[1])
  const guardianPid = await tellGuardian()
  const members = await calls.members(roles.length)
  return { process, members, guardianPid, tellGuardian }
}

async function ended(process: ChildProcess): Promise<void> {
  if (process.exitCode === null && process.signalCode === null) await once(process, 'exit')
}

const allDied = (members: readonly Member[]): Promise<unknown> => Promise.all(members.map(m => m.died))

/** Nobody tells when a process that is not our child has ended: it has to be asked for, here for 10 s at most. */
async function gone(pid: number): Promise<boolean> {
  for (let n = 0; n < 1000; n++) {
    if (!isRunning(pid)) return true
    await sleep(10)
  }
  return false
}

/** A zombie is none: when process 1 reaps orphans is its own affair. */
function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return process.platform !== 'linux' || !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch {
    return false
  }
}

t.test('a process that is killed takes its stubborn children and their children along', posixOnly, async t => {
  const { process, members, guardianPid } = await host(t, 'stay', ['stubborn', 'mild', 'stubborn'])
  process.kill('SIGKILL')
  await allDied(members)
  t.ok(await gone(guardianPid), 'then the guardian ends as well')
  for (const { pid } of members) t.ok(await gone(pid))
})

t.test('so does one that a signal ends, or that exits without closing anything', posixOnly, async t => {
  for (const how of ['SIGTERM', 'exit'] as const) {
    const { process, members, guardianPid } = await host(t, how, ['stubborn', 'stubborn'])
    if (how === 'exit') process.stdin.write('\n')
    else process.kill(how)
    await ended(process)
    await allDied(members)
    t.ok(await gone(guardianPid), how)
  }
})

t.test('the guardian keeps no process alive that is done, and ends with it', posixOnly, async t => {
  const { process, members, guardianPid } = await host(t, 'clean', ['mild'])
  process.stdin.write('\n')
  await ended(process)
  t.equal(process.exitCode, 0)
  await allDied(members)
  t.ok(await gone(guardianPid))
})

t.test('a guardian that dies is replaced, and knows the children of before', posixOnly, async t => {
  const { process, members, guardianPid, tellGuardian } = await host(t, 'stay', ['stubborn'])
  globalThis.process.kill(guardianPid, 'SIGKILL')
  for (let now = guardianPid; now === guardianPid || Number.isNaN(now); ) {
    process.stdin.write('\n')
    now = await tellGuardian()
  }
  process.kill('SIGKILL')
  await allDied(members)
})

t.test('signals that everybody gets do not end the guardian', posixOnly, async t => {
  const { process, members, guardianPid } = await host(t, 'stay', ['stubborn'])
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) globalThis.process.kill(guardianPid, signal)
  process.kill('SIGKILL')
  await allDied(members)
})

t.test('one guardian serves many children and forgets those that ended', posixOnly, async t => {
  const ignore = (): void => {}
  const events = { line: ignore, oversize: ignore, stderr: ignore, exit: ignore, error: ignore, drain: ignore }
  const make = () => new Child({ command: process.execPath, args: [fixture('echo.mjs')], maxLine: 1024 }, events)
  const children = Array.from({ length: 8 }, make)
  const pid = guardian.pid
  t.type(pid, 'number')
  await Promise.all(children.map(child => child.close()))
  const last = make()
  t.equal(guardian.pid, pid)
  await last.kill()
})
