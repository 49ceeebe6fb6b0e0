import { printable } from '../printable.ts'
import { valueText } from '../replay/json-diff.ts'
import { type Paint, painter } from '../tape/colour.ts'
import { isToldByDrift } from './drift.ts'
import type { BoundPlace, RequestReport, RequestStatus, SessionReport, VerifyReport } from './report.ts'

/** Of one request, so many differences are shown. */
const SHOWN = 20

/** What was found, for people: a line each, safe for a terminal. */
export function reportLines(report: VerifyReport, { colour = false }: { readonly colour?: boolean } = {}): string[] {
  const paint = painter(colour)
  return [
    ...report.sessions.flatMap(session => sessionLines(session, report, paint)),
    ...driftLines(report, paint),
    ...bindingLines(report, paint),
    ...(report.error === undefined ? [] : [paint('red', printable(`unreachable: ${report.error}`))]),
    summary(report, paint)
  ]
}

const MARKS = { same: 'same', different: 'DIFFERENT', skipped: 'skipped', refused: 'REFUSED' } as const
const COLOURS = { same: 'green', different: 'red', skipped: 'yellow', refused: 'red' } as const

function sessionLines(
  { session, era, requests, differences, unsent = [] }: SessionReport,
  report: VerifyReport,
  paint: Paint
): string[] {
  const told = requests.filter(r => r.status !== 'same')
  if (told.length === 0 && differences.length === 0 && unsent.length === 0) return []
  const title = session === undefined ? (era === 'modern' ? 'requests without a session' : 'no session') : session
  return [
    paint('bold', printable(title)),
    ...told.flatMap(request => requestLines(request, report, paint)),
    ...unsent.map(u => `  ${paint('yellow', MARKS.skipped)}  ${requestText(u)}: ${printable(u.reason)}`),
    ...differences.map(d => `  ${paint('red', MARKS.different)}  the server asked or said otherwise: ${d.text}`)
  ]
}

function requestLines(request: RequestReport, { drift }: VerifyReport, paint: Paint): string[] {
  const { status, reason, differences } = request
  if (isToldByDrift(request, drift))
    return [`  ${paint(COLOURS[status], MARKS[status])}  ${requestText(request)}: what it lists has changed, see below`]
  const why = reason === undefined ? '' : `: ${printable(reason)}`
  const more = differences.length > SHOWN ? [`      and ${differences.length - SHOWN} more`] : []
  return [
    `  ${paint(COLOURS[status], MARKS[status])}  ${requestText(request)}${why}`,
    ...differences.slice(0, SHOWN).map(d => `      ${d.text}`),
    ...more
  ]
}

export function requestText({ method, name, place }: Pick<RequestReport, 'method' | 'name' | 'place'>): string {
  return printable(`${method}${name === undefined ? '' : ` ${name}`} (${place.file}:${place.line})`)
}

function driftLines({ drift }: VerifyReport, paint: Paint): string[] {
  if (drift.changes.length === 0) return []
  const broken = drift.breaking === 0 ? 'none of them breaks clients' : `${drift.breaking} of them breaking`
  return [
    paint('bold', `what the server offers has changed, ${broken}`),
    ...drift.changes.map(({ breaking, text }) =>
      breaking === undefined
        ? `  ${paint('yellow', 'changed')}   ${text}`
        : `  ${paint('red', 'BREAKING')}  ${text} (${printable(breaking)})`
    )
  ]
}

function bindingLines({ bindings }: VerifyReport, paint: Paint): string[] {
  if (bindings.length === 0) return []
  return [
    paint('bold', 'values that the server makes up, as they are now'),
    ...bindings.map(({ minted, old, new: now, used }) => {
      const where = used.map(placeText)
      const users = where.length > 3 ? `${where.slice(0, 3).join(', ')} and ${where.length - 3} more` : where.join(', ')
      return `  ${valueText(old)} → ${valueText(now)}  from ${placeText(minted)}, used in ${users}`
    })
  ]
}

export function placeText(place: BoundPlace): string {
  return `${requestText(place)} ${printable(place.path)}`
}

function summary({ outcome, counts, target }: VerifyReport, paint: Paint): string {
  const parts = (['same', 'different', 'refused', 'skipped'] as const satisfies readonly RequestStatus[])
    .filter(status => counts[status] > 0)
    .map(status => `${counts[status]} ${status}`)
  const requests = `${counts.requests} ${counts.requests === 1 ? 'request' : 'requests'}`
  const text = `${outcome}: ${requests} to ${printable(target)}${parts.length > 0 ? `, ${parts.join(', ')}` : ''}`
  return paint(outcome === 'same' ? 'green' : 'red', text)
}
