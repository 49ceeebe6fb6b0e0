/** Against the reference server: what it makes up anew each time is learned, and then nothing is left. */

import { createRequire } from 'node:module'
import path from 'node:path'
import t from 'tap'
import { createForward } from '../../src/index.ts'
import { readRecording } from '../../src/replay/recording.ts'
import { DEFAULT_RULES } from '../../src/replay/rules.ts'
import { learn } from '../../src/verify/learn.ts'
import { verifyOnce } from '../../src/verify/verify.ts'
import { connectHttp, HANDLERS } from '../helpers/clients.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { callTool } from '../replay/replay-stage.ts'
import { found } from './verify-stage.ts'

const require = createRequire(import.meta.url)
const manifest = require.resolve('@modelcontextprotocol/server-everything/package.json')
const everything = path.join(path.dirname(manifest), 'dist/index.js')
const target = { command: process.execPath, args: [everything, 'stdio'] }

t.test('server-everything, recorded and checked', async t => {
  trackLeaks(t)
  const file = path.join(t.testdir(), 'a.tape.jsonl')
  const door = await createForward({ target, record: { path: file } })
  const c = await connectHttp(door.url!, { handlers: HANDLERS })
  await c.listening()
  const { tools } = await c.client.listTools()
  await c.client.listPrompts()
  await c.client.listResources()
  await c.client.listResourceTemplates()
  await c.client.readResource({ uri: 'demo://resource/dynamic/text/1' })
  const has = (name: string): boolean => tools.some(tool => tool.name === name)
  for (const [name, args] of [
    ['echo', { message: 'hello' }],
    ['get-sum', { a: 1, b: 2 }],
    ['get-tiny-image', {}],
    ['get-structured-content', { location: 'Chicago' }],
    ['trigger-sampling-request', { prompt: 'say', maxTokens: 10 }]
  ] as const)
    if (has(name)) await callTool(c, name, args)
  const long = { name: 'trigger-long-running-operation', arguments: { duration: 0.4, steps: 4 } }
  if (has(long.name)) await c.client.callTool(long, { onprogress() {} })
  await c.terminate()
  await c.close()
  await door.close()

  const recording = await readRecording([file])
  t.teardown(() => recording.close())
  const options = { target, allowWrites: true, timeout: 20_000 }
  const first = await verifyOnce(recording, options, true)
  const second = await verifyOnce(recording, options, true)
  const learned = learn(first, second, DEFAULT_RULES)
  const report = second.report(learned.rules)
  t.same(found(report), [])
  t.equal(report.outcome, 'same')
  t.ok(report.counts.same >= 10, `${report.counts.same} requests`)
})
