import { type FileHandle, open, readdir } from 'node:fs/promises'
import path from 'node:path'
import { asFrame, asHeader, parseLine } from './check.ts'
import { reasonOf, TAPE_SUFFIX, type TapeHeader } from './format.ts'
import { unlistable } from './unreadable.ts'

export interface TapeListing {
  readonly file: string
  /** Bytes. */
  readonly size: number
  readonly header?: TapeHeader
  /** `n` and `t` of the last whole frame, read from the file's end. */
  readonly frames?: number
  readonly duration?: number
  /** Why it is no tape that can be read. */
  readonly problem?: string
}

const EDGE = 64 * 1024

/** The tapes of a folder, oldest first, without reading them through. Throws TapeError `tape_unreadable`. */
export async function* listTapes(folder: string): AsyncGenerator<TapeListing, void, void> {
  let names: string[]
  try {
    names = (await readdir(folder)).filter(name => name.endsWith(TAPE_SUFFIX)).sort()
  } catch (error) {
    throw unlistable(folder, error)
  }
  for (const name of names) yield await listOne(path.join(folder, name))
}

async function listOne(file: string): Promise<TapeListing> {
  let size = 0
  let handle: FileHandle | undefined
  try {
    handle = await open(file, 'r')
    size = (await handle.stat()).size
    const head = Buffer.alloc(Math.min(EDGE, size))
    await handle.read(head, 0, head.length, 0)
    const tail = Buffer.alloc(Math.min(EDGE, size))
    await handle.read(tail, 0, tail.length, size - tail.length)
    const header = asHeader(safeParse(firstLine(head)), file)
    return { file, size, header, ...lastFrame(tail, size > EDGE) }
  } catch (error) {
    return { file, size, problem: reasonOf(error) }
  } finally {
    await handle?.close()
  }
}

function firstLine(head: Buffer): string {
  const end = head.indexOf(10)
  return head.toString('utf8', 0, end < 0 ? head.length : end)
}

function safeParse(line: string): unknown {
  try {
    return parseLine(line)
  } catch {
    return undefined
  }
}

function lastFrame(tail: Buffer, isPart: boolean): { frames?: number; duration?: number } {
  const lines = tail.toString('utf8').split('\n')
  // The first is the header, or cut off by where we began to read.
  for (let i = lines.length - 1; i >= 1; i--) {
    try {
      const frame = asFrame(parseLine(lines[i]!))
      return { frames: frame.n, duration: frame.t }
    } catch {
      // Torn, or the empty piece behind the last line end.
    }
  }
  return isPart ? {} : { frames: 0, duration: 0 }
}
