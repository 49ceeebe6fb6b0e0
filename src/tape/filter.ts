import type { TapeFrame } from './format.ts'
import type { Direction, Side } from './frame.ts'
import type { Seen } from './pairing.ts'

export interface FrameFilter {
  /** A session's handle. */
  readonly session?: string
  /** A glob (`tools/*`, `notifications/**`) on methods; answers count as their request's method. Only messages match. */
  readonly method?: string
  readonly direction?: Direction
  readonly side?: Side
  /** Searched for in what the frame says: message, remark, path, outcome. */
  readonly grep?: RegExp
}

export type FramePredicate = (frame: TapeFrame, seen: readonly Seen[]) => boolean

/** Undefined when everything passes. */
export function compileFilter(filter: FrameFilter): FramePredicate | undefined {
  const tests: FramePredicate[] = []
  const { session, direction, side, grep } = filter
  if (session !== undefined) tests.push(frame => frame.session === session)
  if (direction !== undefined) tests.push(frame => frame.dir === direction)
  if (side !== undefined) tests.push(frame => frame.side === side)
  if (filter.method !== undefined) {
    const method = globToRegExp(filter.method)
    tests.push((_, seen) => seen.some(s => method.test(s.method ?? s.request?.method ?? '')))
  }
  if (grep) tests.push(frame => textsOf(frame).some(text => text !== undefined && grep.test(text)))
  return tests.length === 0 ? undefined : (frame, seen) => tests.every(test => test(frame, seen))
}

function textsOf(frame: TapeFrame): readonly (string | undefined)[] {
  return [frame.text, frame.remark, frame.note, frame.outcome, frame.http?.path, frame.stream]
}

/** `*` any characters but `/`, `**` any, `?` one; the rest stands for itself. A lone `*` is everything. */
export function globToRegExp(glob: string): RegExp {
  if (glob === '*') return /^/
  const body = glob.replace(/\*{2,}|\*|\?|[\\^$.+()[\]{}|/-]/g, c => {
    if (c.startsWith('**')) return '.*'
    if (c === '*') return '[^/]*'
    return c === '?' ? '[^/]' : `\\${c}`
  })
  return new RegExp(`^${body}$`, 's')
}
