import { isUtf8 } from 'node:buffer'
import { factsOf } from './facts.ts'
import { globToRegExp } from './filter.ts'
import type { TapeFrame } from './format.ts'
import { type LineSketch, sketchOf } from './line-sketch.ts'
import type { Pairing, Seen } from './pairing.ts'
import { parseFrame } from './reader.ts'

export interface SoughtFrame {
  readonly frame: TapeFrame
  readonly seen: readonly Seen[]
}

/**
 * Frames that may pass a filter by method. Others are paired, as all are, but not parsed: of a long tape most time would go there.
 * That such a line is JSON to its end is not looked into; `tape validate` does.
 */
export class SoughtLines {
  readonly #pairing: Pairing
  readonly #method: RegExp | undefined

  constructor(pairing: Pairing, method: string | undefined) {
    this.#pairing = pairing
    const pattern = method === undefined ? undefined : globToRegExp(method)
    // What matches nothing at all lets answers pass whose request nobody knows.
    this.#method = pattern?.test('') ? undefined : pattern
  }

  /** Undefined for a line that cannot pass. Throws SyntaxError for what is no frame. */
  read(line: Buffer): SoughtFrame | undefined {
    const sketch = this.#method && sketchOf(line)
    if (sketch === undefined) return this.#whole(line)
    if (!isUtf8(line)) throw new SyntaxError('not UTF-8')
    return sketch === 'none' ? undefined : this.#sketched(line, sketch, this.#method!)
  }

  #sketched(line: Buffer, sketch: LineSketch, sought: RegExp): SoughtFrame | undefined {
    const { id, method, hasResult } = sketch.message
    if (method !== undefined) {
      if (sought.test(method)) return this.#whole(line)
      if (id !== undefined) this.#pairing.pair(sketch, { kind: 'request', id, method })
      return undefined
    }
    if (!hasResult || id === undefined) return undefined
    const answered = this.#pairing.pair(sketch, { kind: 'response', id }).request
    if (!answered || !sought.test(answered.method)) return undefined
    const frame = parseFrame(line)
    // By itself, it is no answer to anything: whose it is was found already.
    return { frame, seen: factsOf(frame.text ?? '').map(facts => ({ ...facts, request: answered })) }
  }

  #whole(line: Buffer): SoughtFrame {
    const frame = parseFrame(line)
    return { frame, seen: this.#pairing.see(frame) }
  }
}
