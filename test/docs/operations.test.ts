/** docs/operations.md says what the code does: endpoints, fields, events. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { AUDIT_EVENTS, Audit } from '../../src/admin/audit.ts'
import { ENDPOINTS } from '../../src/admin/endpoints.ts'
import { ACCESS_FIELDS } from '../../src/interceptors/access-log.ts'
import type { Log } from '../../src/log.ts'

const page = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8')
const bare = (cell = ''): string => cell.replaceAll('`', '')

/** The rows of the table under a heading. */
function table(heading: string): string[][] {
  const section = page.split(new RegExp(`^#+ ${heading}$`, 'm'))[1]!.split(/^#+ /m)[0]!
  const rows = section.split('\n').filter(line => line.startsWith('| `'))
  return rows.map(line =>
    line
      .split(/(?<!\\)\|/)
      .map(cell => cell.trim())
      .slice(1, -1)
  )
}

t.test('every endpoint, and nothing else', async t => {
  const handled = ENDPOINTS.flatMap(({ path, operations }) =>
    Object.keys(operations).map(method => `${method} ${path}`)
  )
  const documented = table('The admin listener').map(([path, method]) => `${bare(method)} ${bare(path)}`)
  t.same(documented.toSorted(), handled.toSorted())
})

t.test('every field of the access log, in its order, and nothing else', async t => {
  t.same(
    table('Access log').map(([field]) => bare(field)),
    ACCESS_FIELDS
  )
  const example = /```\n(time=.*)\n```/.exec(page)![1]!
  const names = [...example.matchAll(/(?:^| )(\w+)=/g)].map(m => m[1]!)
  t.same(
    names,
    ACCESS_FIELDS.filter(field => names.includes(field))
  )
})

t.test('every audit event with its facts and its level, and nothing else', async t => {
  const rows = table('Audit events')
  t.same(Object.fromEntries(rows.map(([event, , facts]) => [bare(event), bare(facts).split(', ')])), AUDIT_EVENTS)
  const levels = new Map<string, string>()
  const at = (level: string) => (event: string) => void levels.set(event, level)
  const log: Log = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
  tellAll(new Audit(log))
  t.same(Object.fromEntries(rows.map(([event, level]) => [bare(event), level])), Object.fromEntries(levels))
})

t.test('every row says something in each column', async t => {
  for (const heading of ['The admin listener', 'Access log', 'Audit events'])
    for (const row of table(heading)) t.notOk(row.includes(''), row[0] ?? '')
})

function tellAll(audit: Audit): void {
  const record = { principal: 'anonymous', createdAt: 0 }
  const session = { handle: 's-1', record } as unknown as Parameters<Audit['sessionMade']>[0]
  const member = { member: 'm', label: 'm', inFlight: 0 } as const
  const progress = { phase: 'drained', startedAt: 0, deadline: 0, calls: 0, streams: 0, cut: 0 } as const
  audit.sessionMade(session, 'a')
  audit.sessionRefused({ principal: 'anonymous' } as Parameters<Audit['sessionRefused']>[0], 'a', 'unauthorized')
  audit.sessionEnded(session, 'a', 'client')
  audit.configChanged({ added: [], removed: [], replaced: [], listeners: [] })
  audit.configRefused([])
  audit.targetChanged('a', { ...member, state: 'ejected' })
  audit.targetChanged('a', { ...member, state: 'up' })
  audit.drainBegan(progress)
  audit.drainEnded(progress)
  audit.adminAction('drain', undefined, {})
  audit.adminRefused(undefined)
}
