/**
 * Signals to a child and all it started. On POSIX a child is made the leader of a process group of its own, and the group
 * outlives it while it has members; on Windows there are only trees, which can be walked while their root is alive.
 */
import { spawn, spawnSync } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'

export const POSIX = process.platform !== 'win32'

const TASKKILL = (pid: number): string[] => ['/pid', String(pid), '/T', '/F']

/** False when there is nobody (any more) to get it. */
export function signalGroup(pid: number, signal: 'SIGTERM' | 'SIGKILL' | 0): boolean {
  try {
    return process.kill(-pid, signal)
  } catch {
    // ESRCH: gone. EPERM: only members are left that changed their user, or on macOS only zombies; nothing can be done.
    return false
  }
}

/** Whether the group's last member is gone within so many milliseconds. Nobody announces that, so it has to be polled. */
export async function groupGone(pid: number, ms: number): Promise<boolean> {
  const deadline = performance.now() + ms
  for (let pause = 2; ; pause = Math.min(2 * pause, 100)) {
    if (!signalGroup(pid, 0)) return true
    if (pause > 16 && !(await hasRunningMember(pid))) return true
    const left = deadline - performance.now()
    if (left <= 0) return false
    await sleep(Math.min(pause, left))
  }
}

/** Windows. Resolves when taskkill has done what it could. */
export function killTree(pid: number): Promise<void> {
  return new Promise(resolve => {
    const taskkill = spawn('taskkill', TASKKILL(pid), { stdio: 'ignore', windowsHide: true })
    taskkill.on('error', () => resolve())
    taskkill.on('exit', () => resolve())
  })
}

/** At once, for when the event loop runs no more. */
export function killNow(pid: number): void {
  if (POSIX) signalGroup(pid, 'SIGKILL')
  else spawnSync('taskkill', TASKKILL(pid), { stdio: 'ignore', windowsHide: true })
}

/**
 * Linux: a group of nothing but zombies answers signals for ever where process 1 reaps no orphans, as in a container whose
 * only process is ours. Elsewhere, or when /proc cannot be read, the group counts as running.
 */
async function hasRunningMember(group: number): Promise<boolean> {
  if (process.platform !== 'linux') return true
  try {
    for (const name of await readdir('/proc')) {
      if (!/^\d+$/.test(name)) continue
      const stat = await readFile(`/proc/${name}/stat`, 'latin1').catch(() => '')
      // "pid (name) state ppid pgrp …"; the name may hold anything, even a parenthesis.
      const [state, , pgrp] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      if (Number(pgrp) === group && state !== 'Z' && state !== 'X') return true
    }
    return false
  } catch {
    return true
  }
}
