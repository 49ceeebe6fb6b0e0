import { MARK } from '../tape/format.ts'
import { withText } from './compare.ts'
import type { FoundDifference, RequestReport, VerifyReport } from './report.ts'

/** The report without what the options supplied in secret: servers like to repeat it. */
export function withoutSecrets(report: VerifyReport, secrets: readonly string[]): VerifyReport {
  if (secrets.length === 0) return report
  const hide = <T>(value: T): T => hidden(value, secrets) as T
  // Its text holds no part of what was cut off in the middle of a secret.
  const difference = (d: FoundDifference): FoundDifference => withText(hide(d))
  const request = (r: RequestReport): RequestReport => ({
    ...r,
    ...(r.reason !== undefined && { reason: hide(r.reason) }),
    differences: r.differences.map(difference)
  })
  return {
    ...report,
    target: hide(report.target),
    sessions: report.sessions.map(s => ({
      ...s,
      requests: s.requests.map(request),
      differences: s.differences.map(difference)
    })),
    bindings: hide(report.bindings),
    drift: hide(report.drift),
    ...(report.error !== undefined && { error: hide(report.error) })
  }
}

function hidden(value: unknown, secrets: readonly string[]): unknown {
  if (typeof value === 'string') return secrets.reduce((left, secret) => left.replaceAll(secret, MARK), value)
  if (typeof value === 'number') return secrets.includes(String(value)) ? MARK : value
  if (Array.isArray(value)) return value.map(item => hidden(item, secrets))
  if (typeof value !== 'object' || value === null) return value
  const isPlain = Object.getPrototypeOf(value) === Object.prototype || Object.getPrototypeOf(value) === null
  if (!isPlain) return value
  const entries = Object.entries(value).map(([key, item]) => [hidden(key, secrets), hidden(item, secrets)])
  return Object.fromEntries(entries)
}
