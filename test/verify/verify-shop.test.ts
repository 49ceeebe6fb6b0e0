/** What a check finds, what it refuses to send, and what it puts in the place of what was recorded. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import type { ShopChange } from '../fixtures/servers/shop.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { callTool } from '../replay/replay-stage.ts'
import { lookAround, shopOf, shopping, shopTape } from './shop-tape.ts'
import { check, found } from './verify-stage.ts'

t.test('what the server makes up is what it is now: told, and no difference', async t => {
  trackLeaks(t)
  const file = await shopTape(t, shopping)
  const shop = await shopOf(t)
  const report = await check(file, { url: shop.url })
  t.same(found(report), [])
  t.equal(report.outcome, 'same')
  const bound = report.bindings.find(b => b.minted.path === 'result.content[0].text')!
  t.match(bound, { minted: { method: 'tools/call', name: 'create_item' }, old: /^item_/, new: /^item_/ })
  t.not(bound.old, bound.new)
  t.same(
    bound.used.map(u => [u.name, u.path]),
    [
      ['get_item', 'params.arguments.id'],
      ['find', 'params.arguments.text']
    ]
  )
})

t.test('without bindings the recorded values are sent', async t => {
  trackLeaks(t)
  const file = await shopTape(t, shopping)
  const report = await check(file, { url: (await shopOf(t)).url }, { noBind: true })
  t.equal(report.outcome, 'different')
  t.same(report.bindings, [])
  t.match(found(report).join('\n'), /get_item: result\.isError: added true/)
})

t.test('a change is found, and nothing else', async t => {
  trackLeaks(t)
  const file = await shopTape(t, shopping)
  const report = await check(file, { url: (await shopOf(t, ['price'])).url })
  t.equal(report.outcome, 'different')
  t.equal(report.counts.different, 1)
  t.match(found(report), [/^tools\/call get_item: result\.content\[0\]\.text: .*10.* → .*12/])
})

t.test('tools that may write are named, and nothing at all is sent', async t => {
  trackLeaks(t)
  const file = await shopTape(t, shopping)
  const shop = await shopOf(t)
  const refusal = check(file, { url: shop.url }, { allowWrites: false })
  await t.rejects(refusal, { name: 'VerifyRefusal', message: /tools\/call create_item .*not marked read-only/s })
  await t.rejects(refusal, { message: /--allow-writes.*--only-safe/ })
  t.same(shop.calls, [])
})

t.test('a tool that is in no list of the tape may write', async t => {
  trackLeaks(t)
  const file = await shopTape(t, async c => void (await callTool(c, 'find', { text: 'x' })))
  const shop = await shopOf(t)
  await t.rejects(check(file, { url: shop.url }, { allowWrites: false }), { message: /find .*in no tools\/list/ })
  t.same(shop.calls, [])
})

t.test('only what is safe is sent, and what depends on the rest is left out as well', async t => {
  trackLeaks(t)
  const file = await shopTape(t, shopping)
  const shop = await shopOf(t)
  const report = await check(file, { url: shop.url }, { allowWrites: false, onlySafe: true })
  t.match(report, { outcome: 'same', counts: { skipped: 3 } })
  t.notMatch(shop.calls.join(), /create_item|get_item|find/)
  t.match(found(report), [/create_item: skipped: it may change/, /get_item: skipped: it needs the answer to/, /find/])
})

t.test('a tool that is read-only on the tape, and no more on the server, is not called', async t => {
  trackLeaks(t)
  const file = await shopTape(t, lookAround)
  const shop = await shopOf(t, ['find-writes'])
  const report = await check(file, { url: shop.url }, { allowWrites: false })
  t.match(report, { outcome: 'refused', counts: { refused: 1 } })
  t.notOk(shop.calls.includes('find'))
  t.match(report.drift.changes, [{ name: 'find', breaking: /not read-only any more/ }])
})

t.test('what redaction took out has to be supplied', async t => {
  trackLeaks(t)
  const headers = { Authorization: 'Bearer sesame-open-1234' }
  const file = await shopTape(t, lookAround, { headers, token: 'sesame-open-1234' })
  t.notMatch(readFileSync(file, 'utf8'), /sesame/)
  const shop = await shopOf(t, [], 'sesame-open-1234')
  await t.rejects(check(file, { url: shop.url }), { message: /authorization.*--token/ })
  t.same(shop.calls, [])
  const report = await check(file, { url: shop.url, headers: ['Authorization', 'Bearer sesame-open-1234'] })
  t.same(found(report), [])
  const wrong = await check(file, { url: shop.url }, { withoutHeaders: ['authorization'] })
  t.match(wrong, { outcome: 'different' })
  t.match(found(wrong)[0], /initialize : outcome: "a result" → "HTTP 401"/)
})

t.test('a redacted argument has to be supplied', async t => {
  trackLeaks(t)
  const file = await shopTape(t, shopping)
  const { writeFileSync } = await import('node:fs')
  writeFileSync(file, readFileSync(file, 'utf8').replaceAll('\\"a lamp\\"', '\\"[redacted]\\"'))
  const shop = await shopOf(t)
  await t.rejects(check(file, { url: shop.url }), { message: /--set '\/params\/arguments\/title=VALUE'/ })
  t.same(shop.calls, [])
  const report = await check(file, { url: shop.url }, { set: { '/params/arguments/title': 'a lamp' } })
  t.same(found(report), [])
})

t.test('a server that is not there', async t => {
  trackLeaks(t)
  const file = await shopTape(t, lookAround)
  const shop = await shopOf(t)
  await shop.close()
  t.match(await check(file, { url: shop.url }), { outcome: 'unreachable', error: /127\.0\.0\.1/ })
  t.match(await check(file, { command: 'no-such-command-here' }), { outcome: 'unreachable' })
  t.match(await check(file, { command: process.execPath, args: ['-e', 'process.exit(3)'] }), {
    outcome: 'unreachable',
    error: /exited with code 3/
  })
})

t.test('a server that never answers is waited for only so long', async t => {
  trackLeaks(t)
  const file = await shopTape(t, lookAround)
  const args = ['-e', 'process.stdin.resume()']
  const report = await check(file, { command: process.execPath, args }, { timeout: 200 })
  t.match(report, { outcome: 'unreachable', error: /has not answered anything in time/ })
  t.match(found(report), [/initialize : outcome: "a result" → "no answer in time"/, /skipped: initialize/])
})

const DRIFTS: readonly (readonly [ShopChange, readonly object[]])[] = [
  ['tool-added', [{ what: 'tool', name: 'brand_new', change: 'added', breaking: undefined }]],
  ['tool-gone', [{ what: 'tool', name: 'clock', change: 'removed', breaking: /gone/ }]],
  ['argument-required', [{ name: 'find', path: 'inputSchema.required[1]', breaking: /"order" is required now/ }]],
  ['enum-narrowed', [{ name: 'find', path: /enum/, breaking: /"price" is accepted no more/ }]],
  ['described', [{ name: 'find', path: 'description', change: 'changed', breaking: undefined }]]
]

for (const [change, changes] of DRIFTS)
  t.test(`drift: ${change}`, async t => {
    trackLeaks(t)
    const file = await shopTape(t, lookAround)
    const shop = await shopOf(t, [change])
    for (const driftOnly of [false, true]) {
      const { drift, outcome } = await check(file, { url: shop.url }, { driftOnly })
      t.equal(drift.changes.length, changes.length)
      for (const [i, wanted] of changes.entries()) t.match(drift.changes[i], wanted)
      t.equal(outcome, 'different')
    }
    const breaks = changes.some(c => (c as { breaking?: unknown }).breaking !== undefined)
    const gate = await check(file, { url: shop.url }, { driftOnly: true, failOn: 'breaking' })
    t.equal(gate.outcome, breaks ? 'different' : 'same')
    t.equal(shop.calls.filter(name => name === 'find').length, 1, 'only the first check calls tools')
  })

t.test('a list in other pages is the same list', async t => {
  trackLeaks(t)
  const file = await shopTape(t, lookAround)
  const shop = await shopOf(t, ['more-pages'])
  const report = await check(file, { url: shop.url })
  t.match(
    report.drift.changes.map(c => [c.change, c.name]),
    [['added', 'prompt 4']]
  )
})

t.test('a secret that the server repeats is shown to nobody', async t => {
  trackLeaks(t)
  const file = await shopTape(t, lookAround)
  const source = `require('node:http').createServer((req, res) => res.writeHead(500).end('no: ' + req.headers.authorization)).listen(0, '127.0.0.1', function () { console.log(this.address().port) })`
  const { spawn } = await import('node:child_process')
  const child = spawn(process.execPath, ['-e', source], { stdio: ['ignore', 'pipe', 'inherit'] })
  const port = String(await new Promise(resolve => child.stdout.once('data', resolve))).trim()
  const headers = ['Authorization', 'Bearer sesame-open-1234']
  const report = await check(file, { url: `http://127.0.0.1:${port}/mcp`, headers })
  child.kill()
  await new Promise(resolve => child.once('close', resolve))
  t.equal(report.outcome, 'different')
  t.notMatch(JSON.stringify(report), /sesame/)
})
