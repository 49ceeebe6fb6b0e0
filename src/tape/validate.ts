import { isUtf8 } from 'node:buffer'
import { skipSpace, skipValue } from '../protocol/scan.ts'
import { asHeader, frameProblem, parseLine } from './check.ts'
import { fileChunks } from './file-chunks.ts'
import { reasonOf, TapeError, type TapeFrame } from './format.ts'
import { DEFAULT_MAX_LINE, LineSource } from './reader.ts'

export interface Finding {
  readonly line: number
  /** Warnings are what readers must cope with: a torn last line, kinds of later versions. */
  readonly severity: 'error' | 'warning'
  readonly text: string
}

export const KINDS: ReadonlySet<string> = new Set(['message', 'head', 'event', 'body', 'open', 'end', 'note'])
export const NOTES: ReadonlySet<string> = new Set([
  ...['noise', 'stderr', 'cancel', 'disconnect', 'error', 'refused', 'session-start', 'session-end', 'session-lost'],
  ...['session-reinitialized', 'child-start', 'child-exit', 'late', 'notice', 'dropped']
])

/** Everything that is not as docs/tape-format.md says, in order. Returns the number of frames. */
export async function* validateTape(
  file: string,
  chunks: AsyncIterable<Buffer> = fileChunks(file, { reuse: true })
): AsyncGenerator<Finding, number, void> {
  const lines = new LineSource(chunks, file, DEFAULT_MAX_LINE)
  let line = 0
  let last = 0
  const check = function* (bytes: Buffer): Generator<Finding, void, void> {
    line++
    if (line === 1) return yield* headerFindings(bytes, file)
    const found = inspect(bytes)
    if (typeof found === 'string') return yield { line, severity: 'error', text: found }
    if (found.n <= last)
      yield { line, severity: 'error', text: `'n' is ${found.n} after ${last}: the sequence must increase` }
    last = Math.max(last, found.n)
    yield* contentFindings(found, line)
  }
  try {
    for (let batch = await lines.next(); batch; batch = await lines.next())
      for (const bytes of batch) yield* check(bytes)
    const rest = lines.rest
    if (rest.length > 0 && line > 0 && typeof inspect(rest) === 'string')
      yield {
        line: line + 1,
        severity: 'warning',
        text: `torn: the writer was stopped within this line (${rest.length} bytes, left out on reading)`
      }
    else if (rest.length > 0) yield* check(rest)
    if (line === 0) yield { line: 1, severity: 'error', text: 'empty: a tape begins with a header line' }
  } catch (error) {
    if (!(error instanceof TapeError) || error.code !== 'tape_line_too_long') throw error
    yield { line: line + 1, severity: 'error', text: `longer than ${DEFAULT_MAX_LINE} bytes` }
  } finally {
    await lines.close()
  }
  return Math.max(0, line - 1)
}

function* headerFindings(bytes: Buffer, file: string): Generator<Finding, void, void> {
  try {
    let value: unknown
    try {
      value = parseLine(bytes.toString())
    } catch {
      // `asHeader` says what a header looks like.
    }
    asHeader(value, file)
  } catch (error) {
    yield { line: 1, severity: 'error', text: reasonOf(error).replace(`${file}:1: `, '') }
  }
}

/** The frame, or what is wrong with it. */
function inspect(bytes: Buffer): TapeFrame | string {
  if (!isUtf8(bytes)) return 'not UTF-8'
  try {
    const value = parseLine(bytes.toString())
    return frameProblem(value) ?? (value as TapeFrame)
  } catch (error) {
    return reasonOf(error)
  }
}

function* contentFindings(frame: TapeFrame, line: number): Generator<Finding, void, void> {
  if (!KINDS.has(frame.kind))
    yield { line, severity: 'warning', text: `unknown kind '${frame.kind}' (of a later version?)` }
  if (frame.kind === 'note' && frame.note === undefined)
    yield { line, severity: 'error', text: "a frame of kind 'note' needs a 'note'" }
  if (frame.note !== undefined && !NOTES.has(frame.note))
    yield { line, severity: 'warning', text: `unknown note '${frame.note}' (of a later version?)` }
  if (frame.kind === 'message' && frame.text === undefined && frame.base64 === undefined)
    yield { line, severity: 'error', text: "a frame of kind 'message' needs 'text' or 'base64'" }
  if (
    frame.base64 !== undefined &&
    !/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(frame.base64)
  )
    yield { line, severity: 'error', text: "'base64' is not Base64" }
  if (frame.kind === 'message' && frame.text !== undefined && !frame.truncated && !isJson(frame.text))
    yield { line, severity: 'error', text: "the message in 'text' is not JSON" }
}

/** Without building the value: depth costs neither stack nor memory worth speaking of. */
function isJson(text: string): boolean {
  const bytes = Buffer.from(text)
  try {
    const end = skipValue(bytes, skipSpace(bytes, 0, bytes.length), bytes.length)
    return skipSpace(bytes, end, bytes.length) === bytes.length
  } catch {
    return false
  }
}
