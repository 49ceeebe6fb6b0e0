/**
 * Names that recur in message after message, found by their bytes: making the same few strings anew is what reading a small
 * message mostly costs. The set is fixed, so nobody can make it grow.
 */
export class KnownNames {
  readonly #buckets: Known[][] = Array.from({ length: BUCKETS }, () => [])

  constructor(names: Iterable<string>) {
    for (const text of new Set(names)) {
      const bytes = Buffer.from(text)
      this.#buckets[bucketOf(bytes, 0, bytes.length)]!.push({ text, bytes })
    }
  }

  /** The name whose bytes stand from `start` to `end`, or undefined. */
  at(b: Uint8Array, start: number, end: number): string | undefined {
    for (const known of this.#buckets[bucketOf(b, start, end)]!) if (isAt(b, start, end, known.bytes)) return known.text
    return undefined
  }
}

interface Known {
  readonly text: string
  readonly bytes: Uint8Array
}

const BUCKETS = 128

function bucketOf(b: Uint8Array, start: number, end: number): number {
  const length = end - start
  return length === 0 ? 0 : (length * 7 + b[start]! + 3 * b[end - 1]!) % BUCKETS
}

function isAt(b: Uint8Array, start: number, end: number, bytes: Uint8Array): boolean {
  if (end - start !== bytes.length) return false
  for (let i = 0; i < bytes.length; i++) if (b[start + i] !== bytes[i]) return false
  return true
}
