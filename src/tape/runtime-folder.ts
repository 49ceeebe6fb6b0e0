import { randomBytes } from 'node:crypto'
import { lstat, mkdir, readdir, readFile, rename, unlink, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { errnoOf, reasonOf, TapeError, type TapeTarget } from './format.ts'

/** The folder in which running catflaps of one user find each other. */

/** One running catflap, as its description file tells. */
export interface LiveProcess {
  readonly pid: number
  readonly started: string
  /** Redacted. */
  readonly target: TapeTarget
  /** Where its clients connect, if by URL. */
  readonly url?: string
  /** A Unix socket, or a named pipe on Windows. */
  readonly socket: string
  /** To be said first by who connects: on Windows others may open the pipe for reading, but not read this file. */
  readonly key: string
}

export function runtimeFolder(
  env: NodeJS.ProcessEnv = process.env,
  platform: NodeJS.Platform = process.platform
): string {
  if (platform === 'win32') {
    const home = env.USERPROFILE ?? os.homedir()
    return path.win32.join(env.LOCALAPPDATA ?? path.win32.join(home, 'AppData', 'Local'), 'catflap', 'run')
  }
  if (env.XDG_RUNTIME_DIR?.startsWith('/')) return path.posix.join(env.XDG_RUNTIME_DIR, 'catflap')
  return path.join(os.tmpdir(), `catflap-${process.getuid?.() ?? 'user'}`)
}

/**
 * Makes the folder, or checks the one that is there: in a shared /tmp somebody else may have made it first.
 * Throws TapeError `runtime_folder`.
 */
export async function openRuntimeFolder(folder: string): Promise<void> {
  try {
    await mkdir(path.dirname(folder), { recursive: true, mode: 0o700 })
    await mkdir(folder, { mode: 0o700 })
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST')
      throw new TapeError('runtime_folder', `cannot make the folder ${folder}: ${reasonOf(error)}`, error)
  }
  const stat = await lstat(folder)
  const problem = stat.isSymbolicLink()
    ? 'is a symbolic link'
    : !stat.isDirectory()
      ? 'is no folder'
      : process.platform === 'win32'
        ? undefined
        : stat.uid !== process.getuid?.()
          ? 'belongs to another user'
          : (stat.mode & 0o077) !== 0
            ? `may be entered by others (mode ${(stat.mode & 0o777).toString(8)}, must be 700)`
            : undefined
  if (problem)
    throw new TapeError(
      'runtime_folder',
      `${folder} ${problem}: remove it, or set XDG_RUNTIME_DIR to a folder of your own`
    )
}

let count = 0

export interface Place {
  readonly file: string
  readonly socket: string
}

/** Unix socket paths end at 104 (macOS) or 108 bytes, and are cut silently. */
const MAX_SOCKET_PATH = 103

/** Names for this process that nobody uses. Throws TapeError `runtime_folder`. */
export async function placeIn(folder: string, platform: NodeJS.Platform = process.platform): Promise<Place> {
  for (;;) {
    const name = `${process.pid}-${++count}`
    const file = path.join(folder, `${name}.json`)
    if (platform === 'win32') {
      const user = os.userInfo().username.replace(/[^\w.-]/g, '_')
      return { file, socket: `\\\\.\\pipe\\catflap-${user}-${name}-${randomBytes(8).toString('hex')}` }
    }
    const socket = path.join(folder, `${name}.sock`)
    if (Buffer.byteLength(socket) > MAX_SOCKET_PATH)
      throw new TapeError('runtime_folder', `${socket} is too long for a socket: set XDG_RUNTIME_DIR to a shorter path`)
    // Containers may share the folder and count pids each on its own.
    if (!(await exists(file)) && !(await exists(socket))) return { file, socket }
  }
}

async function exists(name: string): Promise<boolean> {
  try {
    await lstat(name)
    return true
  } catch {
    return false
  }
}

/** Written beside and renamed, so that nobody reads half of it. */
export async function describe(file: string, description: LiveProcess): Promise<void> {
  const draft = `${file}.new`
  await writeFile(draft, `${JSON.stringify(description)}\n`, { mode: 0o600 })
  await rename(draft, file)
}

const DESCRIPTION = /^\d+-\d+\.json$/

/** The names of description files. */
export async function listDescriptions(folder: string): Promise<string[]> {
  return (await readdir(folder)).filter(name => DESCRIPTION.test(name)).sort()
}

/** Undefined for what is no description, or no longer there. */
export async function readDescription(file: string): Promise<LiveProcess | undefined> {
  try {
    const value = JSON.parse(await readFile(file, 'utf8')) as Partial<LiveProcess>
    const ok =
      Number.isSafeInteger(value.pid) &&
      typeof value.socket === 'string' &&
      typeof value.key === 'string' &&
      typeof value.target?.kind === 'string'
    return ok ? (value as LiveProcess) : undefined
  } catch {
    return undefined
  }
}

/**
 * Removes what processes left behind that did not end by themselves. Asking the socket is surer than asking for the pid,
 * which may be taken again, or count in another container's namespace.
 */
export async function removeStale(folder: string): Promise<void> {
  for (const name of await listDescriptions(folder)) {
    const file = path.join(folder, name)
    const description = await readDescription(file)
    const socket = description?.socket ?? file.replace(/\.json$/, '.sock')
    if (await answers(socket)) continue
    await remove(file)
    if (process.platform !== 'win32' && path.dirname(socket) === folder) await remove(socket)
  }
}

export async function remove(file: string): Promise<void> {
  await unlink(file).catch(() => {})
}

function answers(socket: string): Promise<boolean> {
  return new Promise(resolve => {
    const probe = connect(socket)
    probe.once('connect', () => {
      probe.destroy()
      resolve(true)
    })
    // Anything but "nobody listens" (no permission, too busy) is no proof of death.
    probe.once('error', error => resolve(!['ECONNREFUSED', 'ENOENT', 'ENOTSOCK'].includes(errnoOf(error) ?? '')))
  })
}
