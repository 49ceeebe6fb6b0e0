import { decoderFor } from '../decode.ts'

/** A whole body without its Content-Encoding; undefined where that is unknown, wrong, or more than `max` bytes come out. */
export async function unpacked(body: Buffer, encoding: string | undefined, max: number): Promise<Buffer | undefined> {
  if (encoding === undefined) return body
  const decoder = decoderFor(encoding)
  if (!decoder) return undefined
  const parts: Buffer[] = []
  let size = 0
  decoder.end(body)
  try {
    for await (const part of decoder as AsyncIterable<Buffer>) {
      size += part.length
      if (size > max) return undefined
      parts.push(part)
    }
  } catch {
    return undefined
  }
  return Buffer.concat(parts)
}
