import { type FileHandle, open, stat } from 'node:fs/promises'
import { Changes } from './changes.ts'
import { errnoOf, TapeError } from './format.ts'
import { unreadable } from './unreadable.ts'

const CHUNK = 256 * 1024

export interface ChunkOptions {
  /** Wait for more at the end of the file, until it is removed or `signal` says stop. */
  readonly follow?: boolean
  readonly signal?: AbortSignal
  /** Each chunk is only valid until the next one is asked for: one buffer serves for all. */
  readonly reuse?: boolean
  /** Hears of each chunk's length, in bytes. */
  readonly onBytes?: (bytes: number) => void
}

/** A file's content from its beginning. Throws TapeError `tape_unreadable`, `tape_replaced`. */
export async function* fileChunks(name: string, options: ChunkOptions = {}): AsyncGenerator<Buffer, void, void> {
  const handle = await openFile(name)
  const changes = options.follow ? new Changes(name, options.signal) : undefined
  try {
    let position = 0
    let kept: Buffer | undefined
    for (;;) {
      // Before reading: what changes during the read makes one more round.
      changes?.reset()
      const gone = changes ? await isGone(name, handle, position) : true
      for (;;) {
        const buffer = kept ?? Buffer.allocUnsafe(CHUNK)
        if (options.reuse) kept = buffer
        const { bytesRead } = await handle.read(buffer, 0, CHUNK, null)
        if (bytesRead === 0) break
        position += bytesRead
        options.onBytes?.(bytesRead)
        yield buffer.subarray(0, bytesRead)
        if (options.signal?.aborted) return
      }
      if (gone || options.signal?.aborted) return
      await changes!.next()
    }
  } catch (error) {
    if (error instanceof TapeError || errnoOf(error) === undefined) throw error
    throw unreadable(name, error)
  } finally {
    changes?.close()
    await handle.close()
  }
}

async function openFile(name: string): Promise<FileHandle> {
  try {
    return await open(name, 'r')
  } catch (error) {
    throw unreadable(name, error)
  }
}

/** Whether the name no longer means the file we hold. */
async function isGone(name: string, handle: FileHandle, position: number): Promise<boolean> {
  const held = await handle.stat()
  if (held.isFile() && held.size < position)
    throw new TapeError('tape_replaced', `${name} became shorter while it was followed`)
  try {
    return (await stat(name)).ino !== held.ino
  } catch (error) {
    return errnoOf(error) === 'ENOENT'
  }
}
