import { printable } from '../printable.ts'
import { isToldByDrift } from './drift.ts'
import type { RequestReport, SessionReport, VerifyReport } from './report.ts'

/** JUnit's XML, as CI systems read it: a session is a suite, a request a case. */
export function junitOf(report: VerifyReport): string[] {
  const suites = [
    ...report.sessions.map(session => suiteOf(session, report)),
    ...driftSuite(report),
    ...errorSuite(report)
  ]
  const total = (key: 'tests' | 'failures' | 'errors' | 'skipped'): number => suites.reduce((sum, s) => sum + s[key], 0)
  const counts = {
    tests: total('tests'),
    failures: total('failures'),
    errors: total('errors'),
    skipped: total('skipped')
  }
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites${attributes({ name: 'catflap verify', ...counts, time: report.ms / 1000 })}>`,
    ...suites.flatMap(({ name, cases, ...numbers }) => [
      `  <testsuite${attributes({ name, ...numbers, timestamp: report.started.slice(0, 19) })}>`,
      ...cases.flatMap(caseLines),
      '  </testsuite>'
    ]),
    '</testsuites>'
  ]
}

interface Case {
  readonly name: string
  readonly classname: string
  readonly file?: string
  readonly time?: number
  readonly verdict?: { readonly tag: 'failure' | 'error' | 'skipped'; readonly message: string; readonly text?: string }
}

interface Suite {
  readonly name: string
  readonly tests: number
  readonly failures: number
  readonly errors: number
  readonly skipped: number
  readonly cases: readonly Case[]
}

function suite(name: string, cases: readonly Case[]): Suite {
  const count = (tag: string): number => cases.filter(c => c.verdict?.tag === tag).length
  return {
    name,
    tests: cases.length,
    failures: count('failure'),
    errors: count('error'),
    skipped: count('skipped'),
    cases
  }
}

function suiteOf({ session, era, requests, differences, unsent = [] }: SessionReport, { drift }: VerifyReport): Suite {
  const name = session ?? (era === 'modern' ? 'modern' : 'no session')
  const cases = requests.map(request =>
    caseOf(isToldByDrift(request, drift) ? { ...request, status: 'same' } : request, name)
  )
  const left = unsent.map(u => caseOf({ ...u, status: 'skipped', differences: [] }, name))
  const asked = differences.map(d => ({
    name: `asked or said by the server: ${d.path}`,
    classname: name,
    verdict: { tag: 'failure' as const, message: d.text }
  }))
  return suite(name, [...cases, ...left, ...asked])
}

function caseOf(request: RequestReport, classname: string): Case {
  const { method, name, place, ms, status, reason, differences } = request
  const about = {
    name: `${method}${name === undefined ? '' : ` ${name}`} (line ${place.line})`,
    classname,
    file: place.file,
    ...(ms !== undefined && { time: ms / 1000 })
  }
  if (status === 'same') return about
  if (status === 'skipped') return { ...about, verdict: { tag: 'skipped', message: reason ?? 'skipped' } }
  if (status === 'refused') return { ...about, verdict: { tag: 'error', message: reason ?? 'refused' } }
  const texts = differences.map(d => d.text)
  const message = texts.length === 1 ? texts[0]! : `${texts.length} differences`
  return { ...about, verdict: { tag: 'failure', message, text: texts.join('\n') } }
}

function driftSuite({ drift, failOn }: VerifyReport): Suite[] {
  if (drift.changes.length === 0) return []
  const cases = drift.changes.map(({ what, name, path, breaking, text }) => ({
    name: `${what} ${name}${path === undefined ? '' : ` ${path}`}`,
    classname: 'drift',
    verdict:
      breaking === undefined
        ? { tag: failOn === 'any' ? ('failure' as const) : ('skipped' as const), message: text }
        : { tag: 'failure' as const, message: `breaking: ${text} (${breaking})` }
  }))
  return [suite('drift', cases)]
}

function errorSuite({ error }: VerifyReport): Suite[] {
  if (error === undefined) return []
  const verdict = { tag: 'error' as const, message: error }
  return [suite('server', [{ name: 'the server can be reached', classname: 'server', verdict }])]
}

function caseLines({ verdict, ...about }: Case): string[] {
  const open = `    <testcase${attributes(about)}`
  if (!verdict) return [`${open}/>`]
  const { tag, message, text } = verdict
  const inner = `      <${tag}${attributes({ message })}`
  return [`${open}>`, text === undefined ? `${inner}/>` : `${inner}>${xml(text)}</${tag}>`, '    </testcase>']
}

function attributes(values: Readonly<Record<string, string | number>>): string {
  return Object.entries(values)
    .map(([name, value]) => ` ${name}="${xml(printable(String(value)))}"`)
    .join('')
}

/** XML 1.0 has no way to write most control characters, nor halves of surrogate pairs. */
function xml(text: string): string {
  return text
    .split('\n')
    .map(printable)
    .join('\n')
    .replace(/[\ufffe\uffff]/g, '�')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
}
