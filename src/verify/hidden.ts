import type { Difference } from '../replay/json-diff.ts'
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
  const difference = (d: FoundDifference): FoundDifference => withText(hiddenDifference(d, secrets))
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

/** A difference without what was supplied in secret, to be shown in part. */
export function hiddenDifference<T extends Difference>(d: T, secrets: Literals): T {
  if (secrets.size === 0) return d
  // Long keys are cut off in it.
  const path = d.path.replace(CUT_KEY, (_, key: string) => `["${cut(secrets.trimTail(secrets.scrub(uncut(key))))}…"]`)
  return { ...(scrubbedValue({ ...d, path }, secrets) as T), kind: d.kind }
}

const CUT_KEY = /\["((?:[^"\\]|\\.)*)…"\]/g

function uncut(key: string): string {
  return JSON.parse(`"${key}"`) as string
}

function cut(key: string): string {
  return JSON.stringify(key).slice(1, -1)
}
