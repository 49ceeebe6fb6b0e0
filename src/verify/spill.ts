import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { reasonOf, TapeError } from '../tape/format.ts'

/** Bytes that are held in memory; what comes after them goes to the disk. */
const KEEP = 16 * 1024 * 1024

/** Gives back what was put away. */
export type PutAway = () => Buffer

/** Texts that are needed once more later, of which there may be more than memory should hold: then in a file that only we can read. */
export class Spill {
  #room: number
  #file: { readonly descriptor: number; readonly name: string } | undefined
  #length = 0

  constructor(keep = KEEP) {
    this.#room = keep
  }

  /** Bytes on the disk. */
  get spilled(): number {
    return this.#length
  }

  /** Throws TapeError `tape_unwritable`. */
  put(bytes: Buffer): PutAway {
    if (bytes.length <= this.#room) {
      this.#room -= bytes.length
      // A copy: messages are parts of larger pieces as they came.
      const kept = Buffer.from(bytes)
      return () => kept
    }
    this.#room = 0
    const [offset, { length }] = [this.#length, bytes]
    this.#write(bytes)
    return () => this.#read(offset, length)
  }

  close(): void {
    const file = this.#file
    this.#file = undefined
    if (!file) return
    fs.closeSync(file.descriptor)
    // Where a file that is open cannot be removed.
    fs.rmSync(file.name, { force: true })
  }

  #write(bytes: Buffer): void {
    try {
      const { descriptor } = (this.#file ??= openNew())
      for (let at = 0; at < bytes.length; )
        at += fs.writeSync(descriptor, bytes, at, bytes.length - at, this.#length + at)
      this.#length += bytes.length
    } catch (error) {
      throw new TapeError('tape_unwritable', `cannot keep answers in ${os.tmpdir()}: ${reasonOf(error)}`, error)
    }
  }

  #read(offset: number, length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length)
    for (let at = 0; at < length; ) {
      const read = fs.readSync(this.#file!.descriptor, bytes, at, length - at, offset + at)
      if (read === 0) throw new TapeError('tape_unreadable', `answers kept in ${os.tmpdir()} are gone`)
      at += read
    }
    return bytes
  }
}

function openNew(): { readonly descriptor: number; readonly name: string } {
  const name = path.join(os.tmpdir(), `catflap-answers-${randomBytes(9).toString('hex')}`)
  const descriptor = fs.openSync(name, 'wx+', 0o600)
  // Nothing is left behind, however this process ends.
  if (process.platform !== 'win32') fs.rmSync(name)
  return { descriptor, name }
}
