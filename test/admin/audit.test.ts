/** What somebody may have to answer for is told once, in words for people and facts for programs. */
import t from 'tap'
import { AUDIT_EVENTS, Audit, auditRefusals, principalHash } from '../../src/admin/audit.ts'
import { startHttpServer } from '../fixtures/servers/http-server.ts'
import { startRawHttp } from '../fixtures/servers/raw-http.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { rawPost, rawRequest } from '../helpers/raw-client.ts'
import { initialize, legacyHeaders, rpc } from '../helpers/rpc.ts'
import { rawSession } from '../integration/http-door.ts'
import { events, openStage } from './stage.ts'

const SECRET = 'a-token-of-a-client'
const BUILT_IN = ['time', 'level', 'event', 'text']

function known(t: import('tap').Test, all: readonly Record<string, unknown>[]): void {
  for (const event of all) {
    const facts: readonly string[] = AUDIT_EVENTS[event.event as keyof typeof AUDIT_EVENTS]
    for (const name of Object.keys(event))
      t.ok(BUILT_IN.includes(name) || facts.includes(name), `${event.event}: ${name}`)
  }
}

t.test('sessions: made, refused, ended; by whom, but never with what', async t => {
  trackLeaks(t)
  const { log, inbox } = events()
  const audit = new Audit(log)
  const server = await startHttpServer()
  t.teardown(() => server.close())
  const stage = await openStage(t, {
    one: {
      target: { url: server.url },
      tokens: [SECRET],
      audit,
      observers: [auditRefusals(audit, 'one')],
      settings: { maxSessions: 1 }
    }
  })
  const url = stage.url('one')
  const headers = { authorization: `Bearer ${SECRET}` }
  const id = await rawSession(url, undefined, headers)
  t.equal((await rawPost(url, initialize(), headers)).status, 503)
  t.equal((await rawPost(url, initialize(), { authorization: 'Bearer guess' })).status, 401)
  await rawPost(url, rpc(1, 'nothing'), { ...legacyHeaders('unknown'), ...headers })
  await rawRequest(url, { method: 'DELETE', headers: { ...legacyHeaders(id), ...headers } })
  await inbox.until(e => e.event === 'session-ended')
  const told = inbox.items.filter(e => String(e.event) in AUDIT_EVENTS)
  const principal = (told[0] as { principal: string }).principal
  t.match(principal, /^p-[0-9a-f]{12}$/)
  t.match(told, [
    { event: 'session-made', level: 'info', route: 'one', session: /^s-/ },
    { event: 'session-refused', route: 'one', principal, code: 'too_many_sessions', client: '127.0.0.1' },
    { event: 'session-refused', principal: 'anonymous', code: 'unauthorized' },
    { event: 'session-ended', why: 'client', principal, seconds: Number }
  ])
  known(t, told)
  const text = JSON.stringify(inbox.items)
  for (const secret of [SECRET, id, 'guess']) t.notMatch(text, secret)
})

t.test('whoever is refused in a loop does not fill the disk', async t => {
  trackLeaks(t)
  const { log, inbox } = events()
  let now = 0
  const audit = new Audit(log, () => now)
  const server = await startRawHttp()
  t.teardown(() => server.close())
  const stage = await openStage(t, {
    one: { target: { url: server.url }, tokens: [SECRET], observers: [auditRefusals(audit, 'one')] }
  })
  for (let i = 0; i < 30; i++) await rawPost(stage.url('one'), initialize())
  t.equal(inbox.items.length, 10)
  now = 1_000
  await rawPost(stage.url('one'), initialize())
  t.match(inbox.items[10], { event: 'session-refused', more: 20, text: /and 20 more/ })
  known(t, inbox.items)
})

t.test('the rest of the trail', async t => {
  const { log, inbox } = events()
  const audit = new Audit(log)
  audit.configChanged({ added: ['a'], removed: [], replaced: ['b', 'c'], listeners: ['http://127.0.0.1:7890'] })
  audit.configRefused(['catflap.yaml:3:1: routes.x: what is it?', 'second'])
  const member = { member: 'm', label: 'http://a/mcp', inFlight: 0 }
  audit.targetChanged('one', { ...member, state: 'ejected', reason: 'refused 5 times', until: Date.UTC(2026, 0) })
  audit.targetChanged('one', { ...member, state: 'up' })
  const progress = {
    phase: 'draining',
    startedAt: Date.now(),
    deadline: Date.now() + 10_000,
    calls: 2,
    streams: 3,
    cut: 0
  } as const
  audit.drainBegan(progress)
  audit.drainEnded({ ...progress, cut: 1 })
  audit.adminAction('drain', 'token:0123456789abcdef', { timeout: 5_000 })
  t.match(inbox.items, [
    { event: 'config-changed', text: 'the configuration changed: added a; replaced b, c' },
    { event: 'config-refused', level: 'error', text: /routes\.x: what is it\? \(and 1 more\)$/ },
    { event: 'target-ejected', level: 'warn', route: 'one', target: 'http://a/mcp', until: '2026-01-01T00:00:00.000Z' },
    { event: 'target-back', level: 'info' },
    { event: 'drain-began', calls: 2, streams: 3 },
    { event: 'drain-ended', cut: 1 },
    { event: 'admin-action', action: 'drain', timeout: 5_000, principal: principalHash('token:0123456789abcdef') }
  ])
  known(t, inbox.items)
})

t.test('a hash tells principals apart, and is none of them', async t => {
  t.equal(principalHash('anonymous'), 'anonymous')
  t.equal(principalHash('token:a'), principalHash('token:a'))
  t.not(principalHash('token:a'), principalHash('token:b'))
  t.match(principalHash('cert:alice'), /^p-[0-9a-f]{12}$/)
})
