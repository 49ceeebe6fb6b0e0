import { writeFileSync } from 'node:fs'
import path from 'node:path'
import t, { type Test } from 'tap'
import { readRecording } from '../../src/replay/recording.ts'
import { DEFAULT_RULES } from '../../src/replay/rules.ts'
import { learn } from '../../src/verify/learn.ts'
import { verifyOnce } from '../../src/verify/verify.ts'
import { down, request, result, tapeOf, up } from '../replay/recording-door.ts'
import { check, found } from './verify-stage.ts'

const VERSION = { protocolVersion: '2025-06-18', capabilities: { tools: {} } }

/** A server whose items have other names in each of its lives, in the order that it is told. */
const SERVER = `
import { createInterface } from 'node:readline'
const [title, order] = process.argv.slice(2)
const life = Math.random().toString(36).slice(2, 10) + 'q'
createInterface({ input: process.stdin }).on('line', line => {
  const { id, method } = JSON.parse(line)
  if (id === undefined) return
  const made = ['a', 'b'].map(end => ({ id: 'item_' + life + end, title, v: 1 }))
  const known = [{ name: 'x', v: 1 }, { name: 'y', v: 2 }]
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
