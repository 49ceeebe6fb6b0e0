import { type FileHandle, open, stat, unlink } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { errnoOf } from '../tape/format.ts'

/** One that is held for so long was left behind by a process that died, in ms. */
const STALE = 1_000
const LONGEST_WAIT = 8

/** Runs it while no other process does the same to that file: each makes `FILE.lock`, which only one can, and takes it away again. */
export async function locked<T>(file: string, run: () => Promise<T>): Promise<T> {
  const lock = `${file}.lock`
  const held = await take(lock)
  try {
    return await run()
  } finally {
    await held?.close()
    if (held) await unlink(lock).catch(() => {})
  }
}

/** Undefined: no lock can be made there, or one cannot be had. Whoever writes whole lines can do without. */
async function take(lock: string): Promise<FileHandle | undefined> {
  let since = performance.now()
  let holder: string | undefined
  for (let wait = 1; ; wait = Math.min(2 * wait, LONGEST_WAIT)) {
    try {
      return await open(lock, 'wx', 0o600)
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST') return undefined
    }
    const now = await stat(lock).catch(() => undefined)
    const which = now && `${now.ino} ${now.mtimeMs}`
    if (which !== holder) {
      holder = which
      since = performance.now()
    }
    if (now && performance.now() - since > STALE && !(await removed(lock))) return undefined
    await sleep(wait)
  }
}

/** False: it cannot be taken away, as it is a folder, or somebody else's. */
async function removed(lock: string): Promise<boolean> {
  try {
    await unlink(lock)
    return true
  } catch (error) {
    return errnoOf(error) === 'ENOENT'
  }
}
