import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { startHttpServer } from './fixtures/servers/http-server.ts'
import { connectHttp, type HttpTestClient } from './helpers/clients.ts'
import { trackLeaks } from './helpers/leaks.ts'
import { type StdioPeer, spawnPeer } from './helpers/stdio-peer.ts'

const EXAMPLES = fileURLToPath(new URL('../examples/', import.meta.url))

async function start(t: Test, name: string, ...args: string[]): Promise<{ run: StdioPeer; client: HttpTestClient }> {
  const run = spawnPeer([process.execPath, '--no-warnings', `${EXAMPLES}${name}`, ...args])
  t.teardown(async () => {
    run.proc.kill('SIGINT')
    const { code } = await run.exit
    // Windows knows no signals: the process is ended from outside there.
    if (code !== 0 && process.platform !== 'win32') throw new Error(`Ctrl-C ended it with ${code}`)
  })
  const greeting = await run.stdout.next({ timeoutMs: 30_000 })
  const client = await connectHttp(/http:\S+?mcp/.exec(greeting)?.[0] ?? greeting)
  t.teardown(() => client.close())
  return { run, client }
}

t.test('log-tool-calls logs each tool call with its latency', async t => {
  trackLeaks(t)
  const { run, client } = await start(t, 'log-tool-calls.ts')
  await client.client.listTools()
  await client.client.callTool({ name: 'echo', arguments: { message: 'hello' } })
  t.match(await run.stdout.next(), /^echo: answered after \d+\.\d ms$/)
  await client.client.callTool({ name: 'get-sum', arguments: { a: 1, b: 2 } })
  t.match(await run.stdout.next(), /^get-sum: answered after \d+\.\d ms$/)
  await client.terminate()
})

t.test('log-tool-calls does so in front of a server by its URL', async t => {
  trackLeaks(t)
  const server = await startHttpServer()
  t.teardown(() => server.close())
  const { run, client } = await start(t, 'log-tool-calls.ts', server.url)
  await client.client.callTool({ name: 'add', arguments: { a: 1, b: 2 } })
  t.match(await run.stdout.next(), /^add: answered after \d+\.\d ms$/)
  await client.terminate()
})

t.test('block-tool refuses one tool, hides it, and lets the others be', async t => {
  trackLeaks(t)
  const server = await startHttpServer()
  t.teardown(() => server.close())
  const { client } = await start(t, 'block-tool.ts', 'count', server.url)
  const { tools } = await client.client.listTools()
  t.notOk(tools.some(tool => tool.name === 'count'))
  t.ok(tools.some(tool => tool.name === 'add'))
  await t.rejects(client.client.callTool({ name: 'count' }), { message: /The tool 'count' is not allowed here/ })
  t.equal(server.state.tally.snapshot().count ?? 0, 0, 'the server never heard of it')
  t.match(await client.client.callTool({ name: 'add', arguments: { a: 1, b: 2 } }), { content: [{ text: '3' }] })
  await client.terminate()
})

t.test('block-tool does so over a server on stdio too', async t => {
  trackLeaks(t)
  const { client } = await start(t, 'block-tool.ts', 'get-env')
  t.notOk((await client.client.listTools()).tools.some(tool => tool.name === 'get-env'))
  await t.rejects(client.client.callTool({ name: 'get-env' }), { message: /not allowed here/ })
  await client.terminate()
})

t.test('test-with-tape records once, replays ever after, and fails where it has to', async t => {
  trackLeaks(t)
  const tapes = path.join(t.testdir(), 'tapes')
  const run = (env: Record<string, string>) =>
    spawnSync(process.execPath, ['--no-warnings', '--test', `${EXAMPLES}test-with-tape.ts`], {
      encoding: 'utf8',
      env: { ...process.env, TAPES: tapes, CI: '', CATFLAP_RECORD: '', NODE_TEST_CONTEXT: undefined, ...env },
      timeout: 60_000
    })
  const missing = run({ CI: 'true' })
  t.equal(missing.status, 1)
  t.match(missing.stdout, /There is no tape 'sum'.*CATFLAP_RECORD=1/)
  t.equal(run({}).status, 0, 'recorded')
  const tape = path.join(tapes, 'sum.tape.jsonl')
  const recorded = readFileSync(tape, 'utf8')
  const { status, stdout } = run({ CI: 'true' })
  t.equal(status, 0, stdout)
  t.equal(readFileSync(tape, 'utf8'), recorded, 'a tape that is replayed stays as it is')
  writeFileSync(tape, recorded.replaceAll('\\"b\\":2', '\\"b\\":4'))
  const other = run({ CI: 'true' })
  t.equal(other.status, 1)
  t.match(other.stdout, /params\.arguments\.b: 4 → 2/)
})
