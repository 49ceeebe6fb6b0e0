import { type FileHandle, open } from 'node:fs/promises'
import { extname } from 'node:path'
import { errnoOf, reasonOf, TAPE_SUFFIX, TapeError } from './format.ts'

/** One tape being written. The handle may be closed in between (many sessions, few descriptors); `append` opens it again. */
export class TapeFile {
  readonly path: string
  /** `performance.now()` from which `t` counts. */
  readonly base: number
  /** Of the last frame written. */
  n = 0
  #handle: FileHandle | undefined
  #regular = false

  private constructor(path: string, base: number) {
    this.path = path
    this.base = base
  }

  /** A new file, or an empty one, or a device. Throws TapeError `tape_exists`, `tape_unwritable`. */
  static async create(path: string, base: number): Promise<TapeFile> {
    const file = new TapeFile(path, base)
    try {
      file.#handle = await openNew(path)
      const stat = await file.#handle.stat()
      file.#regular = stat.isFile()
      if (file.#regular && stat.size > 0) {
        await file.close(false)
        throw new TapeError(
          'tape_exists',
          `${path} exists already and is not empty, and so do those with a number behind it: name another file, or a folder (it gets one tape a session)`
        )
      }
      // An empty file may have been made by mktemp or a shell with a wider mode.
      if (file.#regular && (stat.mode & 0o077) !== 0 && process.platform !== 'win32') await file.#handle.chmod(0o600)
    } catch (error) {
      if (error instanceof TapeError) throw error
      throw new TapeError('tape_unwritable', `cannot record to ${path}: ${reasonOf(error)}`, error)
    }
    return file
  }

  /**
   * `path`, or where that holds something already, the next of `name-2.tape.jsonl`, `name-3.tape.jsonl` … that does not:
   * clients start their command as often as they like, and none of those runs may fail for it, or overwrite another.
   */
  static async createNext(path: string, base: number): Promise<TapeFile> {
    for (let k = 1; ; k++) {
      try {
        return await TapeFile.create(k === 1 ? path : numbered(path, k), base)
      } catch (error) {
        if (!(error instanceof TapeError && error.code === 'tape_exists') || k >= MAX_NUMBER) throw error
      }
    }
  }

  async append(data: Buffer): Promise<void> {
    this.#handle ??= await open(this.path, 'a', 0o600)
    for (let at = 0; at < data.length; ) {
      const { bytesWritten } = await this.#handle.write(data, at, data.length - at, null)
      at += bytesWritten
    }
  }

  async close(sync: boolean): Promise<void> {
    const handle = this.#handle
    if (!handle) return
    this.#handle = undefined
    try {
      if (sync && this.#regular) await handle.sync()
    } finally {
      await handle.close()
    }
  }
}

const MAX_NUMBER = 1000

/** `a.tape.jsonl` → `a-2.tape.jsonl`; whatever else has dots keeps its last ending. */
function numbered(path: string, k: number): string {
  const ending = path.endsWith(TAPE_SUFFIX) ? TAPE_SUFFIX : extname(path)
  return `${path.slice(0, path.length - ending.length)}-${k}${ending}`
}

async function openNew(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'ax', 0o600)
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error
    return open(path, 'a', 0o600)
  }
}
