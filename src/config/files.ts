import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { errnoOf, reasonOf } from '../tape/format.ts'
import type { FileContent } from './reader.ts'

/** Of the configuration, and of each file that it names. */
export const MAX_FILE = 1024 * 1024

/** A text of bounded length. Never throws, and waits for no pipe that nobody writes to. */
export async function readBounded(path: string): Promise<FileContent> {
  try {
    const handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0))
    try {
      const stats = await handle.stat()
      if (!stats.isFile()) return { failure: 'it is no file' }
      if (stats.size > MAX_FILE) return { failure: TOO_LARGE }
      const bytes = Buffer.alloc(MAX_FILE + 1)
      let length = 0
      while (length < bytes.length) {
        const { bytesRead } = await handle.read(bytes, length, bytes.length - length)
        if (bytesRead === 0) break
        length += bytesRead
      }
      return length > MAX_FILE ? { failure: TOO_LARGE } : decoded(bytes.subarray(0, length))
    } finally {
      await handle.close()
    }
  } catch (error) {
    // The system's sentence repeats the path.
    return { failure: REASONS[errnoOf(error) ?? ''] ?? errnoOf(error) ?? reasonOf(error) }
  }
}

const TOO_LARGE = `it is larger than ${MAX_FILE / 1024 / 1024} MiB`

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is none',
  EACCES: 'that is not allowed',
  EPERM: 'that is not allowed',
  EISDIR: 'it is a folder'
}

function decoded(bytes: Uint8Array): FileContent {
  try {
    return { text: new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes) }
  } catch {
    return { failure: 'it is not UTF-8' }
  }
}
