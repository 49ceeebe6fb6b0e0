/** `catflap replay` as people run it: usage, the summary, exit codes. */
import { readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import t, { type Test } from 'tap'
import { runCatflap, startCatflap } from '../helpers/catflap.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { rawPost } from '../helpers/raw-client.ts'
import { initialize, legacyHeaders, rpc } from '../helpers/rpc.ts'
import { asked, httpTape } from '../replay/hand-stage.ts'

const tapeFile = (t: Test): string =>
  httpTape(t, [
    ...asked(1, 'tools/call', { name: 'add', arguments: { a: 1, b: 2 } }, { content: [{ type: 'text', text: '3' }] }),
    ...asked(2, 'tools/list', {}, { tools: [] })
  ])
const add = (b: number) => rpc(7, 'tools/call', { name: 'add', arguments: { b, a: 1 } })

async function session(url: string): Promise<Record<string, string>> {
  const begun = await rawPost(url, initialize(0))
  return legacyHeaders(begun.headers['mcp-session-id'] as string)
}

t.test('every request on the tape: exit code 0, and a summary', async t => {
  trackLeaks(t)
  const file = tapeFile(t)
  const run = await startCatflap(['replay', '--listen', '0', file])
  t.equal(run.target, 'tape:a.tape.jsonl')
  const headers = await session(run.url)
  t.match((await rawPost(run.url, add(2), headers)).text, '"text":"3"')
  t.match(await run.close(), { code: 0 })
  t.match(
    run.events.items.find(e => e.event === 'replayed'),
    {
      requests: 2,
      hits: 2,
      misses: 0,
      divergences: 0,
      unused: 1,
      details: { unused: [{ method: 'tools/list', file, line: 8 }] }
    }
  )
})

t.test('a miss: exit code 1, and where the closest request stands', async t => {
  trackLeaks(t)
  const file = tapeFile(t)
  const run = runCatflap(['replay', '--listen', '0', file], { json: false })
  const line = await run.stdout.until(text => text.startsWith('catflap: listening on '))
  const url = /listening on (\S+),/.exec(line)![1]!
  t.match((await rawPost(url, add(3), await session(url))).text, '-31060')
  t.match(await run.close(), { code: 1 })
  const told = run.stderr.items
  t.match(told[0], /^catflap: warn: not on the tape: tools\/call add: .*a\.tape\.jsonl:6.*params\.arguments\.b: 2 → 3$/)
  const at = told.findIndex(text => text.startsWith('catflap: replayed: '))
  t.equal(told[at], 'catflap: replayed: 2 requests, 1 hit, 1 miss, 0 divergences; 2 recorded requests never made')
  t.match(told[at + 1], /^catflap: {3}miss: tools\/call add: /)
  t.match(told.slice(at + 2), [
    `catflap:   unused: tools/call add (${file}:6): never asked for`,
    `catflap:   unused: tools/list (${file}:8): never asked for`
  ])
})

for (const json of [false, true])
  t.test(`what the log hides, the summary hides too (${json ? 'JSON' : 'text'})`, async t => {
    trackLeaks(t)
    const bearer = 'tok12345AbCdEf67890x'
    const token = 'catflapSecret0123456789'
    const args = { url: 'https://e/?access_token=[redacted]&page=1', password: 'before0815' }
    const file = httpTape(t, asked(1, 'tools/call', { name: 'get', arguments: args }, { content: [] }))
    const run = runCatflap(['replay', '--listen', '0', '--token', token, file], { json })
    const url = json
      ? String((await run.events.until(e => e.event === 'listening')).url)
      : /listening on (\S+),/.exec(await run.stdout.until(line => line.includes('listening on')))![1]!
    const known = { authorization: `Bearer ${bearer}`, 'catflap-token': token }
    const begun = await rawPost(url, initialize(0), known)
    const headers = { ...known, ...legacyHeaders(begun.headers['mcp-session-id'] as string) }
    const ask = async (link: string): Promise<void> => {
      const given = { url: link, password: 'hunter2secret' }
      t.match((await rawPost(url, rpc(7, 'tools/call', { name: 'get', arguments: given }), headers)).text, '-31060')
    }
    await ask(`https://e/?access_token=${bearer}&page=2`)
    await ask(token)
    t.match(await run.close(), { code: 1 })
    const told = run.stderr.items.join('\n')
    t.match(told, json ? '"event":"replayed"' : 'catflap: replayed: ')
    t.match(told, 'params.arguments.password: [redacted]')
    t.notMatch(told, new RegExp(`${bearer}|${token}|hunter2secret|before0815`))
  })

t.test('an --on-miss server that cannot be reached: exit code 1', async t => {
  trackLeaks(t)
  const run = await startCatflap(['replay', '--listen', '0', '--on-miss', 'http://127.0.0.1:1/mcp', tapeFile(t)])
  t.match((await rawPost(run.url, add(3), await session(run.url))).text, '"error"')
  t.match(await run.close(), { code: 1 })
  t.match(
    run.events.items.find(e => e.event === 'replayed'),
    { asked: 1, misses: 1 }
  )
})

t.test('--strict-unused: exit code 1 where a recorded request was never made', async t => {
  trackLeaks(t)
  const run = await startCatflap(['replay', '--listen', '0', '--strict-unused', tapeFile(t)])
  t.match(await run.close(), { code: 1 })
})

t.test('over stdio, the end of the input is the end', async t => {
  trackLeaks(t)
  const run = runCatflap(['replay', '--stdio', tapeFile(t)])
  run.proc.stdin?.end(`${JSON.stringify(initialize('a'))}\n${JSON.stringify(add(2))}\n`)
  t.match(await run.exit, { code: 0 })
  t.same(
    run.stdout.items.map(line => JSON.parse(line).id),
    ['a', 7]
  )
  t.ok(run.events.items.some(e => e.event === 'replayed'))
})

t.test('the seed that was made up is told', async t => {
  trackLeaks(t)
  const run = await startCatflap(['replay', '--listen', '0', '--fault', 'tools/list=error', tapeFile(t)])
  t.match((await rawPost(run.url, rpc(1, 'tools/list'), await session(run.url))).text, '-31062')
  t.match(await run.close(), { code: 0 })
  t.match(
    run.events.items.find(e => e.event === 'replayed'),
    { seed: Number, faults: { error: 1 } }
  )
})

t.test('rules beside the tape hold', async t => {
  trackLeaks(t)
  const file = tapeFile(t)
  await writeFile(
    file.replace(/\.jsonl$/, '.rules.yaml'),
    'version: 1\nrequests:\n  - method: tools/call\n    name: add\n    ignore: [/arguments/b]\n'
  )
  const run = await startCatflap(['replay', '--listen', '0', file])
  t.match((await rawPost(run.url, add(4), await session(run.url))).text, '"text":"3"')
  t.match(await run.close(), { code: 0 })
})

t.test('forward tape:FILE is the same target', async t => {
  trackLeaks(t)
  const file = tapeFile(t)
  const again = path.join(path.dirname(file), 'again.tape.jsonl')
  const run = await startCatflap(['forward', '--listen', '0', '--record', again, `tape:${file}`])
  t.match((await rawPost(run.url, rpc(1, 'tools/list'), await session(run.url))).text, '"tools":[]')
  t.match(await run.close(), { code: 0 })
  const [head, ...frames] = (await readFile(again, 'utf8'))
    .trim()
    .split('\n')
    .map(line => JSON.parse(line))
  t.match(head, { target: { kind: 'tape', url: `tape:${file}` } })
  t.ok(frames.some(frame => frame.text?.includes('"tools/list"')))
})

t.test('forward tape:FILE tells what was missed, and fails', async t => {
  trackLeaks(t)
  const run = await startCatflap(['forward', '--listen', '0', `tape:${tapeFile(t)}`])
  t.match((await rawPost(run.url, add(3), await session(run.url))).text, '-31060')
  t.match(await run.close(), { code: 1 })
  t.match(
    run.events.items.find(e => e.event === 'replayed'),
    { misses: 1 }
  )
})

t.test('a stop during a recorded pause leaves it out', async t => {
  trackLeaks(t)
  const slow = asked(2, 'tools/call', { name: 'slow', arguments: {} }, { content: [{ type: 'text', text: 'done' }] })
  const hours = slow.map((frame, i) => ({ ...frame, ...(i === 1 && { t: 5 * 3_600_000 }) }))
  const file = httpTape(t, [...asked(1, 'tools/list', {}, { tools: [] }), ...hours])
  const run = runCatflap(['replay', '--stdio', '--speed', 'real', '--drain-timeout', '1h', file])
  const call = rpc(7, 'tools/call', { name: 'slow', arguments: {} })
  for (const message of [initialize(0), call, rpc(8, 'tools/list')])
    run.proc.stdin?.write(`${JSON.stringify(message)}\n`)
  await run.stdout.until(line => JSON.parse(line).id === 8)
  t.match(await run.close(), { code: 0 })
  t.match(
    run.stdout.items.map(line => JSON.parse(line)).find(({ id }) => id === 7),
    {
      result: { content: [{ text: 'done' }] }
    }
  )
})

t.test('a tape that cannot be read ends the start', async t => {
  trackLeaks(t)
  const file = tapeFile(t)
  const dir = path.dirname(file)
  await writeFile(path.join(dir, 'b.tape.jsonl'), '{"catflap":"tape"}\n')
  await writeFile(path.join(dir, 'rules.yaml'), 'version: 1\nrequest: []\n')
  const none = runCatflap(['replay', path.join(dir, 'none.tape.jsonl')], { json: false })
  t.match(await none.exit, { code: 1 })
  t.match(none.stderr.items.join('\n'), /none\.tape\.jsonl/)
  const bad = runCatflap(['replay', path.join(dir, 'b.tape.jsonl')], { json: false })
  t.match(await bad.exit, { code: 1 })
  t.match(bad.stderr.items.join('\n'), /b\.tape\.jsonl:1: /)
  const rules = runCatflap(['replay', '--rules', path.join(dir, 'rules.yaml'), file], { json: false })
  t.match(await rules.exit, { code: 1 })
  t.match(rules.stderr.items.join('\n'), /rules\.yaml:2:1: request: no such key/)
})

const WRONG: [what: string, args: readonly string[], message: RegExp][] = [
  ['no tape', [], /Not enough|needs one more argument/],
  ['a speed that is none', ['--speed', 'fast', 'a'], /--speed 'fast': give instant, real, or a factor like 2x/],
  ['no speed at all', ['--speed', '0x', 'a'], /--speed '0x'/],
  ['a fault that is none', ['--fault', 'burn', 'a'], /--fault 'burn' is no fault; write drop:SHARE/],
  ['a seed that is none', ['--seed', 'x', 'a'], /--seed 'x' is no whole number/],
  ['a server that is none', ['--on-miss', 'ask', 'a'], /--on-miss 'ask': give error, a URL/],
  ['a header for nobody', ['--header', 'A: b', 'a'], /--header, --ca and --insecure go with --on-miss URL/],
  ['a mode that is none', ['--match', 'guess', 'a'], /--match guess: give one of keyed, strict, method/]
]

t.test('wrong usage: exit code 2, and the right form', async t => {
  trackLeaks(t)
  for (const [what, args, message] of WRONG) {
    const run = runCatflap(['replay', ...args], { json: false })
    t.match(await run.exit, { code: 2 }, what)
    t.match(run.stderr.items[0], message, what)
  }
  const forward = runCatflap(['forward', '--header', 'A: b', 'tape:a.tape.jsonl'], { json: false })
  t.match(await forward.exit, { code: 2 })
  t.match(forward.stderr.items[0], /go with a URL; a tape asks nobody/)
})
