import { createHash, webcrypto } from 'node:crypto'
import type { Frame } from './frame.ts'

/** Messages longer than this (bytes) are kept as a prefix. */
export const DEFAULT_MAX_MESSAGE = 8 * 1024 * 1024
/** How much of them is kept, in bytes. */
const PREFIX_LENGTH = 64 * 1024

export function exceeds(frame: Frame, maxMessage: number): boolean {
  return frame.bytes !== undefined && frame.bytes.length > maxMessage
}

/** The frame with only the beginning of its bytes, and what identifies the whole. Hashes off this thread. */
export async function truncate(frame: Frame, maxMessage: number): Promise<Frame> {
  const bytes = frame.bytes!
  const sha256 =
    frame.truncated?.sha256 ??
    Buffer.from(await webcrypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>)).toString('hex')
  return withPrefix(frame, maxMessage, sha256)
}

/** As `truncate`, on this thread. */
export function truncateSync(frame: Frame, maxMessage: number): Frame {
  return withPrefix(frame, maxMessage, frame.truncated?.sha256 ?? sha256Of(frame.bytes!))
}

/** Bytes that are longer than `maxMessage` and than a prefix: only their beginning, and what identifies the whole. */
export function prefixOf(bytes: Buffer, maxMessage: number): Pick<Frame, 'truncated'> & { readonly bytes: Buffer } {
  if (bytes.length <= Math.max(maxMessage, PREFIX_LENGTH)) return { bytes }
  return { bytes: beginning(bytes, PREFIX_LENGTH), truncated: { length: bytes.length, sha256: sha256Of(bytes) } }
}

function sha256Of(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** A copy, so that the whole message can be freed. */
function beginning(bytes: Buffer, length: number): Buffer {
  return Buffer.from(bytes.subarray(0, length))
}

function withPrefix(frame: Frame, maxMessage: number, sha256: string): Frame {
  const bytes = frame.bytes!
  return {
    ...frame,
    bytes: beginning(bytes, Math.min(PREFIX_LENGTH, maxMessage)),
    truncated: { length: frame.truncated?.length ?? bytes.length, sha256 }
  }
}

/** A prefix may end within a character, which would make text of it look like binary. */
export function withoutTornCharacter(bytes: Buffer): Buffer {
  for (let back = 1; back <= 3 && back <= bytes.length; back++) {
    const byte = bytes[bytes.length - back]!
    if ((byte & 0xc0) === 0x80) continue
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1
    return length > back ? bytes.subarray(0, bytes.length - back) : bytes
  }
  return bytes
}
