import { TAPE_VERSION, TapeError, type TapeFrame, type TapeHeader } from './format.ts'
import { stringEnd } from './json-text.ts'

/** Tapes are untrusted input: nothing is believed of a line that was not looked at here. */

/** Characters outside of strings in one line. Real frames stay far below; what exceeds it is made to fill our memory. */
const MAX_STRUCTURE = 1024 * 1024
const UNSUSPICIOUS = 64 * 1024

export function parseLine(line: string): unknown {
  if (line.length > UNSUSPICIOUS && structureOf(line) > MAX_STRUCTURE)
    throw new SyntaxError('far too much structure for a frame')
  return JSON.parse(line) as unknown
}

function structureOf(line: string): number {
  let count = 0
  let i = 0
  for (;;) {
    const quote = line.indexOf('"', i)
    if (quote < 0) return count + line.length - i
    count += quote - i
    i = stringEnd(line, quote)
  }
}

/** Throws TapeError `tape_malformed`, `tape_too_new`. */
export function asHeader(value: unknown, name: string): TapeHeader {
  const problem = headerProblem(value)
  if (problem === undefined) return value as TapeHeader
  const version = isObject(value) && value.catflap === 'tape' ? value.version : undefined
  if (typeof version === 'number' && version > TAPE_VERSION)
    throw new TapeError(
      'tape_too_new',
      `${name} has tape version ${version}, this catflap reads up to ${TAPE_VERSION}: please update catflap`
    )
  throw new TapeError('tape_malformed', `${name}:1: ${problem}`)
}

function headerProblem(value: unknown): string | undefined {
  if (!isObject(value) || value.catflap !== 'tape')
    return 'not a catflap tape: the first line must be its header ({"catflap":"tape",…})'
  if (!isCount(value.version) || value.version < 1) return "the header's 'version' must be a positive integer"
  if (value.version > TAPE_VERSION)
    return `tape version ${value.version} is newer than ${TAPE_VERSION}: please update catflap`
  if (typeof value.started !== 'string' || Number.isNaN(Date.parse(value.started)))
    return "the header's 'started' must be an ISO 8601 time"
  if (!isObject(value.target) || typeof value.target.kind !== 'string')
    return "the header's 'target' must be an object with a 'kind'"
  if (!isOptional(value.target.url, 'string')) return "the header's 'target.url' must be a string"
  if (value.target.argv !== undefined && !isStrings(value.target.argv))
    return "the header's 'target.argv' must be an array of strings"
  if (
    !isObject(value.software) ||
    typeof value.software.name !== 'string' ||
    typeof value.software.version !== 'string'
  )
    return "the header's 'software' must have a 'name' and a 'version'"
  if (!isOptional(value.session, 'string')) return "the header's 'session' must be a string"
  if (!isOptional(value.pid, 'number')) return "the header's 'pid' must be a number"
  return undefined
}

/** Undefined for a frame. Kinds, notes and members that this version does not know are none of its problems. */
export function frameProblem(value: unknown): string | undefined {
  if (!isObject(value)) return 'not a JSON object'
  if (!isCount(value.n) || value.n < 1) return "'n' must be a positive integer"
  if (typeof value.t !== 'number' || !(value.t >= 0)) return "'t' must be a number, 0 or more"
  if (value.side !== 'client' && value.side !== 'server') return "'side' must be 'client' or 'server'"
  if (value.dir !== 'up' && value.dir !== 'down') return "'dir' must be 'up' or 'down'"
  if (typeof value.kind !== 'string') return "'kind' must be a string"
  for (const name of STRINGS) if (!isOptional(value[name], 'string')) return `'${name}' must be a string`
  if (value.text !== undefined && value.base64 !== undefined) return "'text' and 'base64' exclude each other"
  if (!isOptional(value.own, 'boolean')) return "'own' must be a boolean"
  if (!isOptional(value.process, 'number')) return "'process' must be a number"
  if (value.redacted !== undefined && !isStrings(value.redacted)) return "'redacted' must be an array of strings"
  return (
    httpProblem(value.http) ?? sseProblem(value.sse) ?? truncatedProblem(value.truncated) ?? dataProblem(value.data)
  )
}

const STRINGS = ['session', 'stream', 'text', 'base64', 'outcome', 'note', 'remark'] as const

export function asFrame(value: unknown): TapeFrame {
  const problem = frameProblem(value)
  if (problem !== undefined) throw new SyntaxError(problem)
  return value as TapeFrame
}

function httpProblem(http: unknown): string | undefined {
  if (http === undefined) return undefined
  if (!isObject(http)) return "'http' must be an object"
  if (!isOptional(http.method, 'string') || !isOptional(http.path, 'string'))
    return "'http.method' and 'http.path' must be strings"
  if (!isOptional(http.status, 'number')) return "'http.status' must be a number"
  if (http.headers === undefined) return undefined
  const ok = Array.isArray(http.headers) && http.headers.every(pair => isStrings(pair) && pair.length === 2)
  return ok ? undefined : "'http.headers' must be an array of [name, value] pairs"
}

function sseProblem(sse: unknown): string | undefined {
  if (sse === undefined) return undefined
  if (
    !isObject(sse) ||
    !isOptional(sse.id, 'string') ||
    !isOptional(sse.event, 'string') ||
    !isOptional(sse.retry, 'number')
  )
    return "'sse' must be an object with strings 'id' and 'event' and a number 'retry'"
  return undefined
}

function truncatedProblem(truncated: unknown): string | undefined {
  if (truncated === undefined) return undefined
  if (isObject(truncated) && isCount(truncated.length) && /^[0-9a-f]{64}$/.test(String(truncated.sha256)))
    return undefined
  return "'truncated' must have a 'length' and a lower-case hexadecimal 'sha256'"
}

function dataProblem(data: unknown): string | undefined {
  if (data === undefined) return undefined
  if (isObject(data) && Object.values(data).every(v => v === null || typeof v !== 'object')) return undefined
  return "'data' must be an object of strings, numbers, booleans and nulls"
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function isStrings(value: unknown): value is string[] {
  return Array.isArray(value) && value.every(v => typeof v === 'string')
}

function isOptional(value: unknown, type: 'string' | 'number' | 'boolean'): boolean {
  return value === undefined || typeof value === type
}
