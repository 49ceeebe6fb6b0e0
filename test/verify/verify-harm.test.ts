/** What a check must not do to a server, whatever the server says now. */
import t, { type Test } from 'tap'
import type { VerifyReport } from '../../src/verify/report.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { down, type FrameFacts, request, result, tapeOf, up } from '../replay/recording-door.ts'
import { spokenTo, text, tool, turns } from './spoken-to.ts'
import { check, found } from './verify-stage.ts'

const CAREFUL = { allowWrites: false } as const
const LIST = ['tools/list', {}, { tools: [tool('read')] }] as const
const CALL = ['tools/call', { name: 'read' }, text('x')] as const
const ofRequest = (report: VerifyReport, n: number): unknown => {
  const { status, reason } = report.sessions[0]!.requests[n]!
  return [status, reason]
}

t.test('a task is cancelled only where this check has begun it', async t => {
  const begun = { task: { taskId: 'prod-task-1', status: 'working' } }
  const cancel = ['tasks/cancel', { taskId: 'prod-task-1' }, {}] as const
  const file = tapeOf(t, turns(LIST, ['tools/call', { name: 'read', task: {} }, begun], cancel))
  const of = async (t: Test, body: string, timeout = 10_000): Promise<{ report: VerifyReport; calls: unknown }> => {
    trackLeaks(t)
    const server = spokenTo(t, body)
    const report = await check(file, server.target, { ...CAREFUL, timeout })
    return { report, calls: server.calls }
  }
  const onCall = (what: string): string => `if (m.method === 'tools/call') { ${what}; return true }`
  await t.test('begun: the one of now', async t => {
    const { calls } = await of(t, onCall(`answer({ task: { taskId: 'now-1' } })`))
    t.same(calls, ['tools/list', 'tools/call read', 'tasks/cancel'])
  })
  for (const [name, body] of [
    ['no answer came', onCall('')],
    ['the call was refused', `if (m.method === 'tools/list') { answer({ tools: [] }); return true }`],
    ['no task was made', onCall('answer({ content: [] })')],
    ['an error came', onCall(`fail('busy')`)]
  ] as const)
    await t.test(name, async t => {
      const { report, calls } = await of(t, body, 1_000)
      t.notMatch(String(calls), 'tasks/cancel')
      t.match(ofRequest(report, 2), ['skipped', /did not come|no taskId any more/])
    })
  await t.test('a task that an answer tells of is not the own one', async t => {
    const told = { structuredContent: { jobs: [{ taskId: 'prod-task-1' }] } }
    const list = tapeOf(t, turns(LIST, ['tools/call', { name: 'read' }, told], cancel))
    await t.rejects(check(list, spokenTo(t, '').target, CAREFUL), { message: /tasks\/cancel/ })
  })
})

t.test('without leave to write, only what the list of now calls read-only is called', async t => {
  const file = tapeOf(t, turns(LIST, CALL, CALL))
  const onList = (what: string): string => `if (m.method === 'tools/list') { ${what}; return true }`
  const hints = (more: string): string => `answer({ tools: [{ name: 'read', annotations: ${more} }] })`
  for (const [name, body, reason] of [
    ['it is not listed', onList('answer({ tools: [] })'), /does not list the tool/],
    ['the list is an error', onList(`fail('no')`), /list of tools as a whole/],
    [
      'a later page is an error',
      onList(`m.params?.cursor ? fail('no') : answer({ tools: [], nextCursor: 'c' })`),
      /whole/
    ],
    ['pages without end', onList(`answer({ tools: [{ name: 't' + state.n++ }], nextCursor: 'c' + state.n })`), /whole/],
    [
      'it is listed twice',
      onList(`answer({ tools: [${JSON.stringify(tool('read'))}, ${JSON.stringify(tool('read'))}] })`),
      /more than once/
    ],
    [
      'it says that it destroys',
      onList(hints('{ readOnlyHint: true, destructiveHint: true }')),
      /not mark the tool read-only/
    ],
    ['it says so in a text', onList(hints(`{ readOnlyHint: 'true' }`)), /not mark the tool read-only/]
  ] as const)
    await t.test(name, async t => {
      trackLeaks(t)
      const server = spokenTo(t, body)
      const report = await check(file, server.target, CAREFUL)
      t.equal(report.outcome, 'refused')
      t.notMatch(server.calls.join(), 'tools/call')
      t.match(ofRequest(report, 1), ['refused', reason])
    })
  await t.test('the list says that no cursor follows: it is whole', async t => {
    trackLeaks(t)
    const server = spokenTo(t, onList(`answer({ tools: [${JSON.stringify(tool('read'))}], nextCursor: null })`))
    await check(file, server.target, CAREFUL)
    t.same(server.calls, ['tools/list', 'tools/call read', 'tools/call read'])
  })
  await t.test('a list that cannot be had is asked for again only once it has changed', async t => {
    trackLeaks(t)
    const again = tapeOf(t, turns(LIST, CALL, CALL, ['ping', {}, {}], CALL))
    const server = spokenTo(
      t,
      `if (m.method === 'ping') { state.n++; say({ method: 'notifications/tools/list_changed' }) }
       if (m.method === 'tools/list' && state.n === 0) { fail('no'); return true }`
    )
    await check(again, server.target, CAREFUL)
    t.same(server.calls, ['tools/list', 'tools/list', 'ping', 'tools/list', 'tools/call read'])
  })
  await t.test('the list changes in the middle: it is asked for again', async t => {
    trackLeaks(t)
    const server = spokenTo(
      t,
      `if (m.method === 'tools/list' && state.n > 0) { answer({ tools: [${JSON.stringify(tool('read', false))}] }); return true }
       if (m.method === 'tools/call' && state.n++ === 0) say({ method: 'notifications/tools/list_changed' })`
    )
    const report = await check(file, server.target, CAREFUL)
    t.same(server.calls, ['tools/list', 'tools/call read', 'tools/list'])
    t.match(ofRequest(report, 2), ['refused', /not mark/])
  })
})

t.test('a recorded answer is for the recorded question, and any other is refused', async t => {
  const question = (message: string): object => ({ message, requestedSchema: { type: 'object', properties: {} } })
  const accept = { action: 'accept', content: {} }
  const asks = (method: string, ...all: readonly object[]): string => `
    if (m.method === 'tools/call') { state.call = m.id; state.left = ${JSON.stringify(all)} }
    if (m.method === 'tools/call' || m.id === 'live') {
      const params = state.left.shift()
      if (params) say({ id: 'live', method: '${method}', params })
      else answer({ content: [{ type: 'text', text: 'x' }] }, state.call)
      return true
    }`
  const tape = (t: Test, method: string, params: object, answer: object): string =>
    tapeOf(t, [
      up('stdio', request(1, 'tools/call', { name: 'read' })),
      down('stdio', request('q', method, params)),
      up('stdio', result('q', answer)),
      down('stdio', result(1, text('x')))
    ])
  const answers = (heard: ReturnType<typeof spokenTo>['heard']): unknown[] =>
    heard.filter(m => m.id === 'live').map(m => m.result ?? m.error)
  await t.test('elicitation', async t => {
    trackLeaks(t)
    const file = tape(t, 'elicitation/create', question('Which colour?'), accept)
    const server = spokenTo(t, asks('elicitation/create', question('Delete all?'), question('Which colour?')))
    const report = await check(file, server.target)
    t.same(answers(server.heard), [{ action: 'decline' }, accept])
    t.match(found(report), [/elicitation\/create: added .*Delete all/])
    const url = { mode: 'url', url: 'https://pay.example', elicitationId: 'e', message: 'Which colour?' }
    const other = spokenTo(t, asks('elicitation/create', url))
    const instead = await check(file, other.target)
    t.same(answers(other.heard), [{ action: 'decline' }])
    t.match(found(instead).join('\n'), /elicitation\/create\.params\.url: added/)
  })
  await t.test('sampling', async t => {
    trackLeaks(t)
    const sampling = (text: string): object => ({ messages: [{ role: 'user', content: { type: 'text', text } }] })
    const yes = { role: 'assistant', model: 'm', content: { type: 'text', text: 'yes' } }
    const file = tape(t, 'sampling/createMessage', sampling('Is it warm?'), yes)
    const server = spokenTo(t, asks('sampling/createMessage', sampling('Shall I drop all tables?')))
    const report = await check(file, server.target)
    t.match(answers(server.heard), [{ code: Number, message: String }])
    t.match(found(report), [/sampling\/createMessage\.params\.messages.*Is it warm.*drop all/])
  })
  await t.test('within a request', async t => {
    trackLeaks(t)
    const asking = (message: string): object => ({
      resultType: 'input_required',
      inputRequests: { a: { method: 'elicitation/create', params: question(message) } }
    })
    const meta = { 'io.modelcontextprotocol/protocolVersion': '2026-07-28' }
    const modern = { session: undefined }
    const call = (id: number, more: object): object => request(id, 'tools/call', { name: 'read', _meta: meta, ...more })
    const file = tapeOf(t, [
      up('stdio', call(1, {}), modern),
      down('stdio', result(1, asking('Which colour?')), modern),
      up('stdio', call(2, { inputResponses: { a: accept } }), modern),
      down('stdio', result(2, { resultType: 'complete', ...text('x') }), modern)
    ])
    const of = async (message: string): Promise<{ report: VerifyReport; calls: readonly string[] }> => {
      const server = spokenTo(
        t,
        `if (m.method !== 'tools/call') return
         answer(m.params.inputResponses ? ${JSON.stringify({ resultType: 'complete', ...text('x') })} : ${JSON.stringify(asking(message))})
         return true`
      )
      return { report: await check(file, server.target), calls: server.calls }
    }
    const same = await of('Which colour?')
    t.same(found(same.report), [])
    t.equal(same.calls.filter(call => call === 'tools/call read').length, 2)
    const other = await of('Delete all?')
    t.equal(other.calls.filter(call => call === 'tools/call read').length, 1)
    t.match(found(other.report), [/inputRequests.*Which colour.*Delete all/, /skipped: it answers questions/])
  })
})

t.test('each use of a value is told once', async t => {
  trackLeaks(t)
  const made = { structuredContent: { id: 'item_8f9cd9551c' } }
  const file = tapeOf(
    t,
    turns(
      LIST,
      ['tools/call', { name: 'read' }, made],
      ['tools/call', { name: 'read', arguments: { id: 'item_8f9cd9551c' } }, made]
    )
  )
  const server = spokenTo(
    t,
    `if (m.method === 'tools/call') { answer({ structuredContent: { id: 'item_02d1ab7790' } }); return true }`
  )
  const report = await check(file, server.target, CAREFUL)
  t.equal(report.bindings.length, 1)
  t.equal(report.bindings[0]!.used.length, 1)
})

t.test('a request that is still open where the tape ends', async t => {
  trackLeaks(t)
  const file = tapeOf(t, [
    up('stdio', request(8, 'tools/call', { name: 'read' })),
    up('stdio', request(9, 'ping')),
    down('stdio', result(9))
  ])
  const answered = await check(file, spokenTo(t, '').target)
  t.match(ofRequest(answered, 0), ['skipped', /tape ends before its answer/])
  t.equal(answered.outcome, 'same')
  const dead = await check(file, spokenTo(t, `if (m.method === 'tools/call') process.exit(1)`).target)
  t.match(found(dead)[0], /call read: outcome: "open" → "no answer/)
})

t.test('what the server asked in calls that are not made is not waited for, nor missed', async t => {
  const asking = (n: number): FrameFacts[] => [
    up('stdio', request(n, 'tools/call', { name: 'write' })),
    down('stdio', request(`q${n}`, 'elicitation/create', { message: `Sure ${n}?` })),
    up('stdio', result(`q${n}`, { action: 'accept', content: {} })),
    down('stdio', result(n, text('x')))
  ]
  const listed = (isReadOnly: boolean): object => ({ tools: [tool('read'), tool('write', isReadOnly)] })
  for (const [name, isReadOnly] of [
    ['left out', false],
    ['refused on the way', true]
  ] as const)
    await t.test(name, async t => {
      trackLeaks(t)
      const file = tapeOf(t, [
        ...turns(['tools/list', {}, listed(isReadOnly)], CALL),
        ...[11, 12, 13, 14].flatMap(asking)
      ])
      const server = spokenTo(t, '')
      const began = performance.now()
      const report = await check(file, server.target, { ...CAREFUL, onlySafe: true, timeout: 30_000 })
      // Each question alone would be waited for 5 s.
      t.ok(performance.now() - began < 15_000)
      t.same(server.calls, ['tools/list', 'tools/call read'])
      t.same(report.sessions[0]!.differences, [])
    })
  await t.test('the session is not begun', async t => {
    trackLeaks(t)
    const begin = ['initialize', { protocolVersion: '2025-06-18' }, { protocolVersion: '2025-06-18' }] as const
    const file = tapeOf(t, [...turns(begin), ...[11, 12, 13, 14].flatMap(asking)])
    const server = spokenTo(t, `return m.method === 'initialize'`)
    const report = await check(file, server.target, { timeout: 2_000 })
    t.same(server.calls, ['initialize'])
    t.same(report.sessions[0]!.differences, [])
  })
})

t.test('a question of a call whose answer the tape no longer holds is missed', async t => {
  trackLeaks(t)
  const file = tapeOf(t, [
    up('stdio', request(1, 'tools/call', { name: 'read' })),
    down('stdio', request('q', 'elicitation/create', { message: 'Sure?' })),
    up('stdio', result('q', { action: 'accept', content: {} }))
  ])
  const report = await check(file, spokenTo(t, '').target)
  t.match(found(report).join('\n'), /elicitation\/create: removed/)
})
