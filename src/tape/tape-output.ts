import { randomUUID } from 'node:crypto'
import { type FileHandle, link, lstat, open, realpath, rename, unlink } from 'node:fs/promises'
import path from 'node:path'
import { errnoOf, TapeError } from './format.ts'
import { LineBuffer } from './line-buffer.ts'
import { unwritable } from './unreadable.ts'

const CHUNK = 256 * 1024

export interface TapeOutputOptions {
  /** Replace a file that exists. */
  readonly force?: boolean
}

/**
 * A tape that a tool writes: a file of another name beside it until all is well, so that nobody finds half of one. What exists
 * is never opened: a FIFO without a reader would wait for ever.
 */
export class TapeOutput {
  readonly path: string
  readonly #draft: string
  readonly #handle: FileHandle
  readonly #force: boolean
  readonly #lines = new LineBuffer(CHUNK)

  private constructor(file: string, draft: string, handle: FileHandle, force: boolean) {
    this.path = file
    this.#draft = draft
    this.#handle = handle
    this.#force = force
  }

  /** Throws TapeError `tape_exists`, `tape_unwritable`. */
  static async create(file: string, { force = false }: TapeOutputOptions = {}): Promise<TapeOutput> {
    try {
      const target = force ? await realpath(file).catch(() => file) : file
      await refuseToReplace(target, force)
      const draft = path.join(path.dirname(target), `.catflap-${process.pid}-${randomUUID()}.part`)
      return new TapeOutput(target, draft, await open(draft, 'wx', 0o600), force)
    } catch (error) {
      throw failure(file, error)
    }
  }

  /** Without line end; a copy is taken. */
  add(line: Buffer | string): void {
    if (typeof line === 'string') this.#lines.utf8(line)
    else this.#lines.raw(line)
    this.#lines.ascii('\n')
  }

  /** To be waited for between chunks of lines: writes what has come together, once it is worth it. */
  room(): Promise<void> | undefined {
    return this.#lines.length < CHUNK ? undefined : this.#flush()
  }

  /** Puts the file in its place. */
  async finish(): Promise<void> {
    try {
      await this.#flush()
      await this.#handle.sync()
      await this.#handle.close()
      if (this.#force) await rename(this.#draft, this.path)
      else await this.#claim()
    } catch (error) {
      await this.discard()
      throw failure(this.path, error)
    }
  }

  /** Leaves nothing behind. */
  async discard(): Promise<void> {
    await this.#handle.close().catch(() => {})
    await unlink(this.#draft).catch(() => {})
  }

  /** A link fails where the name was taken meanwhile; renaming would replace what stands there. */
  async #claim(): Promise<void> {
    try {
      await link(this.#draft, this.path)
    } catch (error) {
      if (errnoOf(error) === 'EEXIST') throw error
      // Some file systems know no links.
      await refuseToReplace(this.path, false)
      return await rename(this.#draft, this.path)
    }
    await unlink(this.#draft)
  }

  async #flush(): Promise<void> {
    try {
      const data = this.#lines.view()
      for (let at = 0; at < data.length; ) at += (await this.#handle.write(data, at)).bytesWritten
      this.#lines.clear()
    } catch (error) {
      throw failure(this.path, error)
    }
  }
}

async function refuseToReplace(file: string, force: boolean): Promise<void> {
  const found = await lstat(file).catch(error => {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  })
  if (!found) return
  if (!found.isFile()) throw new TapeError('tape_unwritable', `${file} exists and is no ordinary file: name another`)
  if (!force)
    throw new TapeError('tape_exists', `${file} exists already: name another file, or replace it with --force`)
}

function failure(file: string, error: unknown): TapeError {
  return error instanceof TapeError ? error : unwritable(file, error)
}
