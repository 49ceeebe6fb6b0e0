import type { Literals } from '../tape/literals.ts'
import { withText } from './compare.ts'
import type { DriftChange } from './drift.ts'
import type { FoundDifference, RequestReport, VerifyReport } from './report.ts'
import { scrubbedValue } from './scrub.ts'

/** The report without what the options supplied in secret: servers like to repeat it. */
export function withoutSecrets(report: VerifyReport, secrets: Literals): VerifyReport {
  if (secrets.size === 0) return report
  const hide = <T>(value: T): T => scrubbedValue(value, secrets) as T
  // Its text holds no part of what was cut off in the middle of a secret.
  const difference = (d: FoundDifference): FoundDifference => withText({ ...hide(d), kind: d.kind })
  const change = (c: DriftChange): DriftChange => ({ ...hide(c), what: c.what, change: c.change })
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
    drift: { ...report.drift, changes: report.drift.changes.map(change) },
    ...(report.error !== undefined && { error: hide(report.error) })
  }
}
