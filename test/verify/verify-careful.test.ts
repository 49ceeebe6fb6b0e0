/** What a check does not send, does not overlook, and does not show. */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import t, { type Test } from 'tap'
import { readRecording } from '../../src/replay/recording.ts'
import { DEFAULT_RULES } from '../../src/replay/rules.ts'
import { dryRun } from '../../src/verify/dry-run.ts'
import { learn } from '../../src/verify/learn.ts'
import type { VerifyOptions } from '../../src/verify/options.ts'
import { reportLines } from '../../src/verify/text-report.ts'
import { verifyOnce } from '../../src/verify/verify.ts'
import { type Asked, type Scripted, scripted } from '../fixtures/servers/scripted.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { down, type FrameFacts, request, result, tapeOf, up } from '../replay/recording-door.ts'
import { text, tool, turns } from './spoken-to.ts'
import { check, found } from './verify-stage.ts'

const CAREFUL = { allowWrites: false } as const

/** A server that gives these results, by method, or else an empty one. */
const serving = (t: Test, results: Readonly<Record<string, (asked: Asked) => object>>): Promise<Scripted> =>
  scripted(t, asked => results[asked.method]?.(asked) ?? {})

t.test('the client chooses what is called: another tool in its place is another tool', async t => {
  trackLeaks(t)
  const file = tapeOf(
    t,
    turns(
      ['tools/list', {}, { tools: [tool('item_v1')] }],
      ['tools/call', { name: 'item_v1' }, text('x')],
      ['tools/call', { name: 'look_8f9cd9551c' }, text('x')],
      ['prompts/list', {}, { prompts: [{ name: 'prompt_1' }] }],
      ['prompts/get', { name: 'prompt_1' }, {}]
    )
  )
  const server = await serving(t, {
    'tools/list': () => ({ tools: [tool('delete_all2', false)] }),
    'prompts/list': () => ({ prompts: [{ name: 'prompt_2' }] }),
    'tools/call': () => text('x')
  })
  const report = await check(file, { url: server.url }, { ...CAREFUL, onlySafe: true })
  t.match(report, { outcome: 'refused', counts: { refused: 1, skipped: 1 } })
  t.same(server.calls, ['prompts/get prompt_1'])
})

t.test('a tool named twice is not called: which of them is meant is for the server to guess', async t => {
  trackLeaks(t)
  const calls = [
    '{"name":"read","name":"drop"}',
    '{"name":"read","n\\u0061me":"drop"}',
    '{"name":"read"},"params":{"name":"drop"}'
  ]
  const frames = turns(['tools/list', {}, { tools: [tool('read'), tool('drop', false)] }])
  const raw = calls.flatMap((params, i) => [
    up('stdio', `{"jsonrpc":"2.0","id":${i + 9},"method":"tools/call","params":${params}}`),
    down('stdio', result(i + 9))
  ])
  const server = await serving(t, { 'tools/list': () => ({ tools: [tool('read'), tool('drop', false)] }) })
  const report = await check(tapeOf(t, [...frames, ...raw]), { url: server.url }, { ...CAREFUL, onlySafe: true })
  t.match(report, { outcome: 'same', counts: { same: 1, skipped: 3 } })
  t.same(server.calls, [])
})

t.test('what tools do is asked before the first is called', async t => {
  trackLeaks(t)
  const file = tapeOf(
    t,
    turns(['tools/call', { name: 'read' }, text('x')], ['tools/list', {}, { tools: [tool('read')] }])
  )
  const writing = await serving(t, { 'tools/list': () => ({ tools: [tool('read', false)] }) })
  t.match(await check(file, { url: writing.url }, CAREFUL), { outcome: 'refused', counts: { refused: 1 } })
  t.same(writing.calls, [])
  const reading = await serving(t, { 'tools/list': () => ({ tools: [tool('read')] }), 'tools/call': () => text('x') })
  t.same(found(await check(file, { url: reading.url }, CAREFUL)), [])
  t.same(
    reading.asked.map(a => a.method),
    ['tools/list', 'tools/call', 'tools/list']
  )
})

t.test('a task is cancelled if this check has begun it', async t => {
  trackLeaks(t)
  const cancel = ['tasks/cancel', { taskId: 'prod-task-1' }, {}] as const
  const server = await serving(t, {
    'tools/list': () => ({ tools: [tool('read')] }),
    'tools/call': () => ({ task: { taskId: 'task-of-now' } }),
    'tasks/get': asked => ({ taskId: asked.params!.taskId })
  })
  await t.rejects(check(tapeOf(t, turns(cancel)), { url: server.url }, CAREFUL), { message: /tasks\/cancel/ })
  t.same(server.asked, [])
  const file = tapeOf(
    t,
    turns(
      ['tools/list', {}, { tools: [tool('read')] }],
      ['tools/call', { name: 'read', task: {} }, { task: { taskId: 'prod-task-1' } }],
      ['tasks/get', { taskId: 'prod-task-1' }, { taskId: 'prod-task-1' }],
      cancel
    )
  )
  t.same(found(await check(file, { url: server.url }, CAREFUL)), [])
  t.match(server.asked.at(-1), { method: 'tasks/cancel', params: { taskId: 'task-of-now' } })
  await t.rejects(check(file, { url: server.url }, { ...CAREFUL, noBind: true }), { message: /tasks\/cancel/ })
})

t.test('what looks like data is a difference where it came from, though the client named it later', async t => {
  trackLeaks(t)
  const then = { structuredContent: { release: 'release-2024', price: 19_999 } }
  const now = { structuredContent: { release: 'release-1999', price: 99_999 } }
  const file = tapeOf(
    t,
    turns(
      ['tools/list', {}, { tools: [tool('read')] }],
      ['tools/call', { name: 'read' }, then],
      ['tools/call', { name: 'read', arguments: { q: 'release-2024', max: 19_999 } }, then]
    )
  )
  const server = await serving(t, { 'tools/list': () => ({ tools: [tool('read')] }), 'tools/call': () => now })
  const report = await check(file, { url: server.url })
  t.same(found(report), [
    'tools/call read: result.structuredContent.release: "release-2024" → "release-1999"',
    'tools/call read: result.structuredContent.price: 19999 → 99999'
  ])
  t.match(server.asked.at(-1)!.params, { arguments: { q: 'release-1999', max: 99_999 } })
})

t.test('numbers that count by themselves are learned where they come from, and bound from there', async t => {
  trackLeaks(t)
  const file = tapeOf(
    t,
    turns(
      ['tools/list', {}, { tools: [tool('order')] }],
      ['tools/call', { name: 'order' }, text('made order 48213')],
      ['tools/call', { name: 'look', arguments: { order: '48213' } }, { structuredContent: { order: '48213' } }]
    )
  )
  let last = 50_000
  const server = await serving(t, {
    'tools/list': () => ({ tools: [tool('order')] }),
    'tools/call': ({ params }) =>
      params!.name === 'order' ? text(`made order ${++last}`) : { structuredContent: params!.arguments }
  })
  const recording = await readRecording([file])
  const options = { target: { url: server.url }, allowWrites: true }
  const [first, second] = [await verifyOnce(recording, options, true), await verifyOnce(recording, options, true)]
  t.match(found(first.report()), [/call order: .*48213.* → .*50001/])
  const { rules } = learn(first, second, DEFAULT_RULES)
  t.same(
    rules.answers.map(rule => rule.name),
    ['order']
  )
  t.same(found(second.report(rules)), [])
  recording.close()
})

t.test('another resource in a list is another resource', async t => {
  trackLeaks(t)
  const file = tapeOf(
    t,
    turns(
      ['resources/list', {}, { resources: [{ uri: 'db://x/1', name: 'n' }] }],
      ['resources/read', { uri: 'db://x/1' }, { contents: [{ uri: 'db://x/1', text: 't' }] }]
    )
  )
  const server = await serving(t, {
    'resources/list': () => ({ resources: [{ uri: 'db://x/2', name: 'n' }] }),
    'resources/read': asked => ({ contents: [{ uri: asked.params!.uri, text: 't' }] })
  })
  const report = await check(file, { url: server.url })
  t.equal(report.outcome, 'different')
  t.match(found(report).join('\n'), /resources\/list : result\.resources/)
  t.match(server.asked.at(-1), { method: 'resources/read', params: { uri: 'db://x/1' } })
})

t.test('a mark stands for any text, and what options supply is in no report', async t => {
  trackLeaks(t)
  const secret = 'SUPERSECRETVALUE'
  const file = tapeOf(
    t,
    turns(
      ['tools/list', {}, { tools: [tool('read')] }],
      ['tools/call', { name: 'read', arguments: { key: '[redacted]' } }, text('key is [redacted]')]
    )
  )
  const set = { '/params/arguments/key': secret }
  const results = (said: string): Record<string, (asked: Asked) => object> => ({
    'tools/list': () => ({ tools: [tool('read')] }),
    'tools/call': () => text(said)
  })
  const same = await serving(t, results(`key is ${secret}`))
  t.same(found(await check(file, { url: same.url }, { set })), [])
  const other = await serving(t, results(`${'x'.repeat(70)} ${secret} it is`))
  const report = await check(file, { url: other.url }, { set })
  t.equal(report.outcome, 'different')
  for (const shown of [JSON.stringify(report), reportLines(report).join('\n')]) {
    t.notMatch(shown, /SUPERS/)
    t.match(shown, '[redacted]')
  }
})

t.test('a check of which nothing is left is no check', async t => {
  const calls = [1, 2].flatMap(n => [
    up('stdio', request(5, 'tools/call', { name: 'drop' }), { session: `x${n}`, stream: `stdio-${n}` }),
    down('stdio', result(5), { session: `x${n}`, stream: `stdio-${n}` })
  ])
  const options = { ...CAREFUL, onlySafe: true } satisfies Partial<VerifyOptions>
  const file = tapeOf(t, calls)
  const target = { url: 'http://127.0.0.1:9/mcp' }
  await t.rejects(check(file, target, options), {
    name: 'VerifyRefusal',
    message: /none .* would be sent.*in no tools/
  })
  const recording = await readRecording([file])
  t.match(dryRun(recording, { target, ...options }).lines.at(-1), /none of the tape's requests would be sent/)
  recording.close()
})

t.test('headers that say another method, or that HTTP cannot carry', async t => {
  trackLeaks(t)
  const headers = (...own: readonly [string, string][]): FrameFacts => ({
    http: { method: 'POST', path: '/mcp', headers: own }
  })
  const file = tapeOf(t, [
    up('post-1', request(1, 'ping'), headers(['X-HTTP-Method-Override', 'DELETE'], ['X-Tenant', 'a'])),
    down('post-1', result(1)),
    up('post-2', request(2, 'ping'), headers(['X-Bad', 'a\r\nb: c'])),
    down('post-2', result(2)),
    up('post-3', request(3, 'ping'), headers(['a b', 'c'])),
    down('post-3', result(3))
  ])
  const server = await serving(t, {})
  const report = await check(file, { url: server.url })
  t.match(report, { outcome: 'same', counts: { same: 1, skipped: 2 } })
  t.match(found(report), [/skipped: .*"X-Bad"/, /skipped: .*"a b"/])
  t.equal(server.asked.length, 1)
})

t.test('ended in the middle: what waits is left, and told', async t => {
  trackLeaks(t)
  const file = tapeOf(t, turns(['tools/list', {}, { tools: [] }], ['ping', {}, {}], ['ping', {}, {}]))
  const abort = new AbortController()
  const server = await scripted(t, ({ method }) => {
    if (method === 'tools/list') return { tools: [] }
    setImmediate(() => abort.abort())
    return undefined
  })
  const report = await check(file, { url: server.url }, { signal: abort.signal, timeout: 600_000 })
  t.match(report, { outcome: 'interrupted', error: /ended before all/ })
  t.match(report.counts, { requests: 3, same: 1, skipped: 2, different: 0 })
  t.match(found(report), [/ping : skipped: .*before the answer came/, /ping : skipped: .*before it was sent/])
  t.equal(server.asked.length, 2)
})

t.test('a server that reports progress for ever is not waited for as long', async t => {
  trackLeaks(t)
  const file = tapeOf(t, [
    up('stdio', request(1, 'tools/call', { name: 'x', _meta: { progressToken: 1 } })),
    down('stdio', result(1))
  ])
  const source = `
    const say = json => process.stdout.write(JSON.stringify({ jsonrpc: '2.0', ...json }) + '\\n')
    process.stdin.once('data', () => {
      let progress = 0
      setInterval(() => say({ method: 'notifications/progress', params: { progressToken: 1, progress: ++progress } }), 10)
    })
    process.stdin.on('end', () => process.exit())`
  const target = { command: process.execPath, args: ['-e', source] }
  const report = await check(file, target, { timeout: 150 })
  t.match(found(report).at(-1), /no answer/)
})

t.test('a session of which nothing is sent is not begun', async t => {
  trackLeaks(t)
  const frames = [1, 2, 3].flatMap(n => {
    const own = { session: `s${n}`, stream: `post-${n}` }
    const method = n === 2 ? 'ping' : 'tools/call'
    return [up(`post-${n}`, request(1, method, { name: 'x' }), own), down(`post-${n}`, result(1), own)]
  })
  const dir = t.testdir({})
  const source = `
    require('node:fs').appendFileSync(process.argv[1], 'begun\\n')
    require('node:readline').createInterface({ input: process.stdin }).on('line', line =>
      process.stdout.write(JSON.stringify({ jsonrpc: '2.0', id: JSON.parse(line).id, result: {} }) + '\\n'))`
  const log = path.join(dir, 'begun')
  const target = { command: process.execPath, args: ['-e', source, log] }
  const report = await check(tapeOf(t, frames), target, { ...CAREFUL, onlySafe: true })
  t.match(report.counts, { requests: 3, same: 1, skipped: 2 })
  t.equal(readFileSync(log, 'utf8'), 'begun\n')
})
