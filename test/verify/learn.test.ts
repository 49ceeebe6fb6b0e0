import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { readRecording } from '../../src/replay/recording.ts'
import { DEFAULT_RULES, parseRules } from '../../src/replay/rules.ts'
import { withRules } from '../../src/replay/rules-writer.ts'
import { learn } from '../../src/verify/learn.ts'
import { verifyOnce } from '../../src/verify/verify.ts'
import { down, request, result, tapeOf, up } from '../replay/recording-door.ts'
import { check, found } from './verify-stage.ts'

const ENTRY = fileURLToPath(new URL('../../bin/catflap.ts', import.meta.url))
const VERSION = { protocolVersion: '2025-06-18', capabilities: { tools: {} } }

/** A server whose items have other names in each of its lives, in the order that it is told. */
const SERVER = `
import { existsSync, writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
const [title, order, state] = process.argv.slice(2)
const first = state !== undefined && !existsSync(state)
if (first) writeFileSync(state, '')
const say = message => process.stdout.write(JSON.stringify({ jsonrpc: '2.0', ...message }) + '\\n')
const log = data => say({ method: 'notifications/message', params: { level: 'info', data } })
const life = Math.random().toString(36).slice(2, 10) + 'q'
createInterface({ input: process.stdin }).on('line', line => {
  const { id, method } = JSON.parse(line)
  if (id === undefined) return
  const made = ['a', 'b'].map(end => ({ id: 'item_' + life + end, title, v: 1 }))
  const known = [{ name: 'x', v: 1 }, { name: 'y', v: 2 }]
  if (method !== 'initialize' && order === 'speaks') {
    log('life ' + life)
    if (first) log('only now and then')
  }
  const isBad = method !== 'initialize' && !first
  if (isBad && order === 'fails') return say({ id, error: { code: -31000, message: 'too busy' } })
  if (isBad && order === 'errs') return say({ id, result: { content: [], isError: true } })
  const items = method === 'initialize' ? undefined : { made, known: order === 'turned' ? known.reverse() : known }
  const result = items ? { content: [], structuredContent: items } : ${JSON.stringify({ ...VERSION, serverInfo: { name: 's', version: '1' } })}
  process.stdout.write(JSON.stringify({ jsonrpc: '2.0', id, result }) + '\\n')
})`

function stage(t: Test) {
  const client = { ...VERSION, capabilities: {}, clientInfo: { name: 'c', version: '1' } }
  const items = (made: string) => ({
    made: ['a', 'b'].map(end => ({ id: `item_${made}${end}`, title: 'a', v: 1 })),
    known: [
      { name: 'x', v: 1 },
      { name: 'y', v: 2 }
    ]
  })
  const tape = tapeOf(t, [
    up('stdio', request(1, 'initialize', client)),
    down('stdio', result(1, { ...VERSION, serverInfo: { name: 's', version: '1' } })),
    up('stdio', { jsonrpc: '2.0', method: 'notifications/initialized' }),
    up('stdio', request(2, 'tools/call', { name: 'read', arguments: {} })),
    down('stdio', result(2, { content: [], structuredContent: items('recorded') }))
  ])
  const program = path.join(t.testdirName, 'server.mjs')
  writeFileSync(program, SERVER)
  return { tape, server: (...args: string[]) => ({ command: process.execPath, args: [program, ...args] }) }
}

t.test('of objects that are made anew the name is learned, and what else changes in them is found', async t => {
  const { tape, server } = stage(t)
  const recording = await readRecording([tape])
  t.teardown(() => recording.close())
  const options = { target: server('a'), allowWrites: true, timeout: 20_000 }
  const first = await verifyOnce(recording, options, true)
  const { rules } = learn(first, await verifyOnce(recording, options, true), DEFAULT_RULES)
  t.strictSame(rules.answers, [{ method: 'tools/call', name: 'read', ignore: ['/result/structuredContent/made/*/id'] }])
  t.strictSame(found(await check(tape, server('a'), { rules })), [])
  t.strictSame(
    found(await check(tape, server('CHANGED'), { rules })).map(text => text.replace(/^.*made/, 'made')),
    [0, 1].map(i => `made[${i}].title: "a" → "CHANGED"`)
  )
})

t.test('of a list that comes in another order, the order is learned', async t => {
  const { tape, server } = stage(t)
  const recording = await readRecording([tape])
  t.teardown(() => recording.close())
  const once = (order: string) =>
    verifyOnce(recording, { target: server('a', order), allowWrites: true, timeout: 20_000 }, true)
  const { rules } = learn(await once('straight'), await once('turned'), DEFAULT_RULES)
  t.strictSame(rules.answers[0]?.unordered, ['/result/structuredContent/known'])
})

t.test('of notifications the rules are of the request that brought them', async t => {
  const { tape, server } = stage(t)
  const recording = await readRecording([tape])
  t.teardown(() => recording.close())
  const options = {
    target: server('a', 'speaks', path.join(t.testdirName, 'state')),
    allowWrites: true,
    timeout: 20_000
  }
  const first = await verifyOnce(recording, options, true)
  const second = await verifyOnce(recording, options, true)
  const learned = learn(first, second, DEFAULT_RULES)
  t.strictSame(learned.flaky, [])
  const [rule, ...more] = learned.rules.answers
  t.strictSame(more, [])
  t.match(rule, { method: 'tools/call', name: 'read' })
  const ignore = ['/notifications', '/notifications/*/params/data', '/result/structuredContent/made/*/id']
  t.strictSame([...rule!.ignore!].sort(), ignore)
  t.strictSame(found(second.report(parseRules(withRules(undefined, learned.rules, { file: 'a' }), 'a'))), [])
})

for (const [how, kinds] of [
  ['fails', 'a result in the first run, an error in the second'],
  ['errs', 'a result in the first run, isError in the second']
] as const)
  t.test(`a flip from a result is no noise: ${how}`, async t => {
    const { tape, server } = stage(t)
    const recording = await readRecording([tape])
    t.teardown(() => recording.close())
    const options = { target: server('a', how, path.join(t.testdirName, 'state')), allowWrites: true, timeout: 20_000 }
    const first = await verifyOnce(recording, options, true)
    const learned = learn(first, await verifyOnce(recording, options, true), DEFAULT_RULES)
    t.strictSame(learned.rules.answers, [])
    t.match(learned.flaky, [kinds])
  })

/** Says the secret in a text, in a key, and in a tool that is listed one time only. */
const TELLTALE = `
import { existsSync, writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
const { SECRET, STATE } = process.env
const isFirst = !existsSync(STATE)
writeFileSync(STATE, '')
const tools = [{ name: 'read', inputSchema: {} }, ...(isFirst ? [{ name: 'more ' + SECRET, inputSchema: {} }] : [])]
createInterface({ input: process.stdin }).on('line', line => {
  const { id, method } = JSON.parse(line)
  if (id === undefined) return
  const text = 'x'.repeat(60) + ' ' + SECRET + ' ' + Math.random()
  const said = { content: [{ type: 'text', text }], structuredContent: { ['of ' + SECRET]: Math.random() } }
  const results = { initialize: ${JSON.stringify({ ...VERSION, serverInfo: { name: 's', version: '1' } })}, 'tools/list': { tools } }
  console.log(JSON.stringify({ jsonrpc: '2.0', id, result: results[method] ?? said }))
})`

t.test('what is learned holds nothing that the options supplied', async t => {
  const client = { ...VERSION, capabilities: {}, clientInfo: { name: 'c', version: '1' } }
  const tape = tapeOf(t, [
    up('stdio', request(1, 'initialize', client)),
    down('stdio', result(1, { ...VERSION, serverInfo: { name: 's', version: '1' } })),
    up('stdio', { jsonrpc: '2.0', method: 'notifications/initialized' }),
    up('stdio', request(2, 'tools/list')),
    down('stdio', result(2, { tools: [{ name: 'read', inputSchema: {} }] })),
    up('stdio', request(3, 'tools/call', { name: 'read', arguments: {} })),
    down('stdio', result(3, { content: [{ type: 'text', text: 'x' }] }))
  ])
  const program = path.join(t.testdirName, 'server.mjs')
  writeFileSync(program, TELLTALE)
  const env = ['--env', 'SECRET=SUPERSECRETVALUE', '--env', `STATE=${path.join(t.testdirName, 'state')}`]
  const server = [...env, '--allow-writes', '--', process.execPath, program]
  const rulesFile = path.join(t.testdirName, 'a.rules.yaml')
  const args = ['--no-warnings', ENTRY, 'verify', '--learn', '--rules', rulesFile, tape, ...server]
  const { stderr: err } = spawnSync(process.execPath, args, { encoding: 'utf8' })
  t.match(err, /flaky.*\[redacted\]/)
  t.notMatch(err, /SUPERS/)
  const rules = readFileSync(rulesFile, 'utf8')
  t.match(rules, /\/result\/structuredContent\/\*/)
  t.match(rules, /# .*\[redacted\]/)
  t.notMatch(rules, /SUPERS/)
})
