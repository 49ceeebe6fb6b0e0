/** The command: its exit codes, its reporters, and what it writes. */
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, readFileSync, statSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { readRules } from '../../src/replay/rules.ts'
import { scripted } from '../fixtures/servers/scripted.ts'
import type { ShopChange } from '../fixtures/servers/shop.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { down, request, result, tapeOf, up } from '../replay/recording-door.ts'
import { callTool } from '../replay/replay-stage.ts'
import { lookAround, shopOf, shopping, shopTape } from './shop-tape.ts'

const ENTRY = fileURLToPath(new URL('../../bin/catflap.ts', import.meta.url))
const SHOP = fileURLToPath(new URL('../fixtures/servers/shop.ts', import.meta.url))

interface Ran {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

function run(...args: readonly string[]): Promise<Ran> {
  const child = spawn(process.execPath, ['--no-warnings', ENTRY, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  let [out, err] = ['', '']
  child.stdout.on('data', chunk => (out += chunk))
  child.stderr.on('data', chunk => (err += chunk))
  return new Promise(resolve => child.on('close', code => resolve({ code, out, err })))
}

const shopCommand = (...changes: readonly ShopChange[]): string[] => [
  '--',
  process.execPath,
  '--no-warnings',
  SHOP,
  ...changes
]

t.test('exit codes: the same, different, refused, unreachable, wrong usage', async t => {
  trackLeaks(t)
  const file = await shopTape(t, shopping)
  const shop = await shopOf(t)
  t.match(await run('verify', '--allow-writes', file, shop.url), { code: 0, out: /same: 5 requests to /, err: '' })
  t.match(await run('verify', '--allow-writes', file, ...shopCommand()), { code: 0, out: /same: / })
  t.match(await run('verify', '--allow-writes', file, ...shopCommand('price')), { code: 1, out: /DIFFERENT.*get_item/ })
  const calls = shop.calls.length
  t.match(await run('verify', file, shop.url), { code: 2, out: '', err: /create_item.*\n.*--allow-writes/ })
  t.equal(shop.calls.length, calls, 'nothing was sent')
  t.match(await run('verify', '--allow-writes', file, '--', 'no-such-command-here'), { code: 3, out: /unreachable/ })
  t.match(await run('verify', file), { code: 2, err: /no server given/ })
  t.match(await run('verify', shop.url), { code: 2, err: /no tape given/ })
  t.match(await run('verify', `${file}.not`, shop.url), { code: 2, err: /cannot read/ })
  t.match(await run('verify', '--allow-writes', '--only-safe', file, shop.url), { code: 2, err: /exclude each other/ })
  t.match(await run('verify', '--session', 's99', file, shop.url), { code: 2, err: /no session s99.*: none/ })
})

t.test('the first Ctrl-C ends it, whatever is under way, and nothing is learned of it', async t => {
  trackLeaks(t)
  const file = tapeOf(t, [up('stdio', request(1, 'ping')), down('stdio', result(1))])
  for (const option of ['--learn', '--update']) {
    let asked: () => void = () => {}
    const isAsked = new Promise<void>(resolve => (asked = resolve))
    const server = await scripted(t, () => void asked())
    const args = ['--no-warnings', ENTRY, 'verify', option, '--timeout', '10m', file, server.url]
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    let out = ''
    child.stdout.on('data', chunk => (out += chunk))
    await isAsked
    child.kill('SIGINT')
    t.equal(await new Promise(resolve => child.on('close', resolve)), 130)
    t.match(out, /skipped {2}ping .*before the answer came/)
    t.equal(server.asked.length, 1)
  }
})

t.test('a dry run shows what would be sent, and sends nothing', async t => {
  trackLeaks(t)
  const file = await shopTape(t, shopping)
  const shop = await shopOf(t)
  const { code, out } = await run('verify', '--dry-run', '--allow-writes', file, shop.url)
  t.equal(code, 0)
  t.match(
    out,
    /send {4}none {2}initialize .*\n.*notifications\/initialized.*\n.*tools\/list.*\n.*create_item .*\(writes\)/
  )
  t.match(
    out,
    /params\.arguments\.id: "item_\w+" is what the server says then at tools\/call create_item \(.*:\d+\) result/
  )
  t.match(await run('verify', '--dry-run', file, shop.url), {
    code: 0,
    out: /refuse {2}none {2}tools\/call create_item/
  })
  t.same(shop.calls, [])
  const nothing = tapeOf(t, [up('stdio', request(1, 'tools/call', { name: 'drop' })), down('stdio', result(1))])
  const only = ['--only-safe', nothing, shop.url]
  t.match(await run('verify', '--dry-run', ...only), { code: 2, out: /none of the tape's requests would be sent/ })
  t.match(await run('verify', ...only), { code: 2, err: /none of the tape's requests would be sent/ })
})

t.test('a change stands in every reporter, and it alone', async t => {
  trackLeaks(t)
  const file = await shopTape(t, lookAround)
  const [json, junit] = ['report.json', 'report.xml'].map(name => path.join(t.testdirName, name)) as [string, string]
  const reporters = ['--reporter', 'text', '--reporter', `json=${json}`, '--reporter', `junit=${junit}`]
  const { code, out } = await run('verify', ...reporters, file, ...shopCommand('control-characters'))
  t.equal(code, 1)
  t.equal(out.match(/DIFFERENT/g)?.length, 1)
  t.match(out, /tools\/call find .*\n.*"found none" → "found /)
  t.notMatch(out, '\u0007')
  const report = JSON.parse(readFileSync(json, 'utf8'))
  t.match(report, { report: 'catflap-verify', version: 1, outcome: 'different', counts: { different: 1 } })
  const [request] = report.sessions[0].requests.filter((r: { status: string }) => r.status === 'different')
  t.match(request, { method: 'tools/call', name: 'find', place: { line: Number } })
  t.match(request.differences, [{ kind: 'changed', old: 'found none', new: 'found \u0007<none> & "so"' }])
  const xml = readFileSync(junit, 'utf8')
  wellFormed(t, junit)
  t.match(xml, /<testsuites name="catflap verify" tests="5" failures="1" errors="0" skipped="0"/)
  t.equal(xml.match(/<failure /g)?.length, 1)
  t.match(xml, /&lt;none&gt; &amp;/)
})

/** By a parser of its own, where the machine has one. */
function wellFormed(t: Test, file: string): void {
  const xml = readFileSync(file, 'utf8')
  t.notMatch(xml, /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/)
  const open: string[] = []
  const rest = xml.replace(
    /<\?xml [^?]*\?>|<(\/?)([a-z]+)((?: [a-z]+="[^"<>]*")*)(\/?)>/g,
    (tag, end, name, _, alone) => {
      if (tag.startsWith('<?')) return ''
      if (end) t.equal(open.pop(), name, `</${name}> ends what was begun last`)
      else if (!alone) open.push(name)
      return ''
    }
  )
  t.same(open, [], 'all is ended')
  t.notMatch(rest, /[<>]|&(?!(?:amp|lt|gt|quot);)/)
  try {
    execFileSync('xmllint', ['--noout', file], { stdio: 'pipe' })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}

t.test('what changes by itself is learned, and is no difference from then on', async t => {
  trackLeaks(t)
  const file = await shopTape(t, async c => {
    await lookAround(c)
    await callTool(c, 'clock')
  })
  const rules = file.replace('.jsonl', '.rules.yaml')
  t.match(await run('verify', file, ...shopCommand()), { code: 1, out: /DIFFERENT {2}tools\/call clock/ })
  t.match(await run('verify', '--learn', file, ...shopCommand()), { code: 0, err: /1 place changes/ })
  t.ok(existsSync(rules))
  const { answers } = await readRules(rules)
  t.match(answers, [{ method: 'tools/call', name: 'clock', patterns: { '/result/content/0/text': String } }])
  t.match(readFileSync(rules, 'utf8'), /#.*ticket/)
  t.match(await run('verify', file, ...shopCommand()), { code: 0, out: /same/ })
  t.match(await run('verify', '--learn', file, ...shopCommand()), { code: 0, err: /nothing changes by itself/ })
  const changed = await run('verify', file, ...shopCommand('control-characters'))
  t.match(changed, { code: 1, out: /DIFFERENT {2}tools\/call find/ })
  t.equal(changed.out.match(/DIFFERENT/g)?.length, 1)
})

t.test('the tape gets the answers of now, stays valid, and keeps what the client said', async t => {
  trackLeaks(t)
  const file = await shopTape(t, shopping)
  const before = readFileSync(file, 'utf8')
  const updated = await run('verify', '--update', '--allow-writes', file, ...shopCommand('price', 'described'))
  t.match(updated, { code: 0, err: /2 messages are written anew/ })
  t.match(await run('tape', 'validate', file), { code: 0 })
  const after = readFileSync(file, 'utf8')
  const changed = after.split('\n').filter((line, i) => line !== before.split('\n')[i])
  t.equal(changed.length, 2)
  if (process.platform !== 'win32') t.equal(statSync(file).mode & 0o777, 0o600)
  t.match(await run('verify', '--allow-writes', file, ...shopCommand('price', 'described')), { code: 0, out: /same/ })
  t.match(await run('verify', '--allow-writes', file, ...shopCommand()), { code: 1, out: /get_item/ })
  t.match(await run('verify', '--update', '--allow-writes', file, '--', 'no-such-command'), { code: 3 })
  t.equal(readFileSync(file, 'utf8'), after)
})

t.test('drift alone, as a gate', async t => {
  trackLeaks(t)
  const file = await shopTape(t, lookAround)
  const gate = ['verify', '--drift-only', '--fail-on', 'breaking', file]
  t.match(await run(...gate, ...shopCommand('described', 'tool-added')), {
    code: 0,
    out: /none of them breaks clients/
  })
  t.match(await run(...gate, ...shopCommand('tool-gone')), { code: 1, out: /BREAKING {2}tool "clock": removed/ })
})
