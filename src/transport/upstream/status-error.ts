import { CatflapError } from '../../errors.ts'
import { STATUS_CODES } from '../node-http.ts'
import { adviceFor } from './http-client-refusal.ts'

/** A status in place of an answer. What the server wrote beside it is left out: it may hold the name of a session. */
export function statusError(label: string, status: number, advice: string = adviceFor(status)): CatflapError {
  const text = `${label} answered with HTTP ${status} (${STATUS_CODES[status] ?? 'unknown'}).${advice}`
  return new CatflapError('upstream_status', text, { data: { target: label, status } })
}
