import { asCatflapError, CatflapError } from '../errors.ts'
import { STATUS_CODES } from '../transport/node-http.ts'

export const PROBLEM_TYPE = 'application/problem+json'

/** An error as RFC 9457 has it. Its type is `about:blank`, which need not be said: `code` tells errors apart. */
export interface Problem {
  /** What the status means. */
  readonly title: string
  readonly status: number
  /** What is wrong here, and what to do about it. */
  readonly detail: string
  /** Stable; docs/errors.md lists them all. */
  readonly code: string
}

export function problemOf(error: unknown): Problem {
  const { code, message, status } = asCatflapError(error)
  return { title: STATUS_CODES[status] ?? 'Error', status, detail: message, code }
}

/** A parameter in the URL that makes no sense. */
export function badParameter(name: string, allowed: string): CatflapError {
  return new CatflapError('invalid_parameter', `${name}: give ${allowed}.`)
}
