/** Prometheus's own tool reads a scrape of everything there is, and finds nothing to say about it. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import t from 'tap'
import { rawPost, rawRequest } from '../helpers/raw-client.ts'
import { skipWithout } from '../helpers/require.ts'
import { rpc, toolCall } from '../helpers/rpc.ts'
import { callTool, client, sdkDoor } from '../integration/http-door.ts'
import { pipeDoor } from '../integration/pipe-door.ts'

const skip = skipWithout('promtool')

function check(text: string): { status: number | null; said: string } {
  const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' })
  return { status, said: stdout + stderr }
}

t.test('promtool finds faults, where there are some', { skip }, async t => {
  t.not(check('# TYPE x counter\nx{a="1} 2\n').status, 0)
})

t.test('a scrape in front of a URL, with a tape', { skip }, async t => {
  const dir = mkdtempSync(path.join(tmpdir(), 'catflap-prom-'))
  t.teardown(() => rmSync(dir, { recursive: true }))
  const record = { path: path.join(dir, 'a.tape.jsonl') }
  const { door, url } = await sdkDoor(t, {}, { metrics: { port: 0 }, record })
  const c = await client(t, url)
  await callTool(c, 'echo')
  await callTool(c, 'fail')
  await rawPost(url, toolCall(1, 'a "quoted\\" näme'))
  await rawPost(url, rpc(1, 'ping'), { host: 'evil.example' })
  await c.terminate()
  const { text } = await rawRequest(door.metricsUrl!, { method: 'GET' })
  t.match(text, /catflap_tape_frames_total [1-9]/)
  t.same(check(text), { status: 0, said: '' })
})

t.test('a scrape in front of a command', { skip }, async t => {
  const { door, url } = await pipeDoor(t, 'stdio-server.ts', { metrics: { port: 0 } })
  const c = await client(t, url)
  await callTool(c, 'progress')
  const { text } = await rawRequest(door.metricsUrl!, { method: 'GET' })
  t.match(text, /catflap_children 1/)
  t.same(check(text), { status: 0, said: '' })
})
