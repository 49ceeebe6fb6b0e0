import { mkdir, stat } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { reasonOf, TAPE_SUFFIX, TapeError, type TapeTarget } from './format.ts'
import { TapeFile } from './tape-file.ts'

/** Where tapes go when nobody says where, by the platform's convention. */
export function defaultTapeFolder(
  env: NodeJS.ProcessEnv = process.env,
  platform: NodeJS.Platform = process.platform
): string {
  const home = env.HOME ?? env.USERPROFILE ?? os.homedir()
  if (platform === 'win32')
    return path.win32.join(env.LOCALAPPDATA ?? path.win32.join(home, 'AppData', 'Local'), 'catflap', 'tapes')
  if (platform === 'darwin') return path.posix.join(home, 'Library', 'Application Support', 'catflap', 'tapes')
  // XDG Base Directory Specification: a relative path is to be ignored.
  const state = env.XDG_STATE_HOME?.startsWith('/') ? env.XDG_STATE_HOME : path.posix.join(home, '.local', 'state')
  return path.posix.join(state, 'catflap', 'tapes')
}

/** A path means a folder when it is one, or ends like one. */
export async function isFolderPath(name: string): Promise<boolean> {
  if (/[/\\]$/.test(name)) return true
  try {
    return (await stat(name)).isDirectory()
  } catch {
    return false
  }
}

export interface TapeFolderOptions {
  /** Redacted. Names the files. */
  readonly target: TapeTarget
  readonly maxOpenFiles: number
  /** Called for each new file, before its first frame; returns the header line. */
  readonly header: (started: Date, session: string | undefined) => string
}

/** Ended sessions are remembered too, since a late frame belongs into the same file. */
const MAX_KNOWN_FILES = 10_000

/** One tape a session, and one for what belongs to none. Holds few descriptors, however many sessions there are. */
export class TapeFolder {
  readonly #folder: string
  readonly #options: TapeFolderOptions
  /** The least recently used first. */
  readonly #files = new Map<string, TapeFile>()
  readonly #open = new Set<TapeFile>()

  private constructor(folder: string, options: TapeFolderOptions) {
    this.#folder = folder
    this.#options = options
  }

  /** Throws TapeError `tape_unwritable`. */
  static async open(folder: string, options: TapeFolderOptions): Promise<TapeFolder> {
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 })
    } catch (error) {
      throw new TapeError('tape_unwritable', `cannot make the folder ${folder}: ${reasonOf(error)}`, error)
    }
    return new TapeFolder(folder, options)
  }

  /** The session's tape, if it has one already. */
  known(session: string | undefined): TapeFile | undefined {
    const key = session ?? ''
    const file = this.#files.get(key)
    if (!file) return undefined
    this.#files.delete(key)
    this.#files.set(key, file)
    return file
  }

  async fileFor(session: string | undefined, time: number): Promise<TapeFile> {
    const known = this.known(session)
    if (known) return known
    const file = await this.#create(session, time)
    this.#files.set(session ?? '', file)
    this.writes(file)
    if (this.#files.size > MAX_KNOWN_FILES) {
      const [oldest, forgotten] = this.#files.entries().next().value!
      this.#files.delete(oldest)
      await this.#shut(forgotten)
    }
    return file
  }

  /** It is about to be written, which opens it if it was shut. */
  writes(file: TapeFile): void {
    this.#open.delete(file)
    this.#open.add(file)
  }

  /** Keeps the number of descriptors within its bound: after each batch, the idle ones go. */
  async trim(): Promise<void> {
    for (const file of this.#open) {
      if (this.#open.size <= this.#options.maxOpenFiles) return
      await this.#shut(file)
    }
  }

  async ended(session: string | undefined): Promise<void> {
    const file = this.#files.get(session ?? '')
    if (file) await this.#shut(file)
  }

  async close(): Promise<void> {
    for (const file of this.#open) await file.close(true)
    this.#open.clear()
    this.#files.clear()
  }

  async #shut(file: TapeFile): Promise<void> {
    this.#open.delete(file)
    await file.close(false)
  }

  async #create(session: string | undefined, time: number): Promise<TapeFile> {
    const started = wallTime(time)
    const stamp = started
      .toISOString()
      .replace(/\.\d+Z$/, 'Z')
      .replaceAll(':', '-')
    const owner = session === undefined ? `p${process.pid}` : session.replace(/[^\w-]/g, '_').slice(0, 64)
    const stem = `${stamp}-${slugOf(this.#options.target)}-${owner}`
    // Another process with the same target and handle may have begun in the same second.
    const file = await TapeFile.createNext(path.join(this.#folder, `${stem}${TAPE_SUFFIX}`), time)
    await file.append(Buffer.from(this.#options.header(started, session)))
    return file
  }
}

/** The wall-clock time of a `performance.now()`. */
export function wallTime(time: number): Date {
  return new Date(Date.now() - (performance.now() - time))
}

/** A few characters that tell people which server this was: `localhost-3001`, `npx-server-everything`. */
export function slugOf(target: TapeTarget): string {
  let name = target.kind
  if (target.url !== undefined)
    name = target.url
      .replace(/^[^:]*:\/\//, '')
      .replace(/^[^/?#]*@/, '')
      .replace(/[?#].*$/s, '')
  else if (target.argv && target.argv.length > 0) {
    const [command, ...args] = target.argv
    const what = args.find(a => !a.startsWith('-') && !a.includes('[redacted]'))
    name = [command!, what ?? ''].map(baseName).filter(Boolean).join('-')
  }
  const slug = name
    .toLowerCase()
    .replace(/[^a-z0-9.]+/g, '-')
    .slice(0, 48)
    .replace(/^[-.]+|[-.]+$/g, '')
  return slug === '' ? 'target' : slug
}

function baseName(name: string): string {
  return (
    name
      .split(/[/\\]/)
      .filter(Boolean)
      .at(-1)
      ?.replace(/\.(?:exe|cmd|[cm]?[jt]s)$/i, '') ?? ''
  )
}
