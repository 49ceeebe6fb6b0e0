/** `catflap forward` as it runs: what it prints, what it hands to the command, how it ends. */
import { readFileSync, realpathSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import t, { type Test } from 'tap'
import { type Catflap, type CatflapOptions, runCatflap, startCatflap } from '../helpers/catflap.ts'
import { trackLeaks, watchProcess } from '../helpers/leaks.ts'
import { rawPost, rawRequest } from '../helpers/raw-client.ts'
import { initialize, legacyHeaders, notification, rpc } from '../helpers/rpc.ts'
import { fixtureArgv } from '../helpers/stdio-peer.ts'
import { within } from '../helpers/wait.ts'
import { pipeSession } from '../integration/pipe-door.ts'

const PUPPET = fixtureArgv('puppet-stdio.ts')
/** Answers the first message with what it was given. */
const TELL = `process.stdin.once('data', () => {
  const { GREETING, EMPTY } = process.env
  const result = { cwd: process.cwd(), env: { GREETING, EMPTY }, argv: process.argv.slice(1) }
  console.log(JSON.stringify({ jsonrpc: '2.0', id: 0, result }))
})`

async function start(
  t: Test,
  args: readonly string[],
  command: readonly string[] = PUPPET,
  options: CatflapOptions = {}
): Promise<Catflap> {
  trackLeaks(t)
  const catflap = await startCatflap(['forward', '--no-tail', '--listen', '0', ...args, '--', ...command], options)
  t.teardown(() => catflap.kill9())
  return catflap
}

const DEBUG = ['--log-level', 'debug']

async function ofChild(catflap: Catflap, text: string): Promise<string> {
  const event = await catflap.events.until(e => e.event === 'stderr' && String(e.text).includes(text))
  return String(event.text)
}

t.test('when it is ready it says where, as an event or as a line to paste', async t => {
  const catflap = await start(t, [])
  t.match(catflap.url, /^http:\/\/127\.0\.0\.1:\d+\/mcp$/)
  t.equal(catflap.target, process.execPath)
  t.match(catflap.events.items[0], { event: 'listening', url: catflap.url, target: process.execPath })
  t.equal((await rawPost(catflap.url, initialize(0))).status, 200)
  t.same(catflap.stdout.items, [])
  t.same(await catflap.close(), { code: 0, signal: null })

  const plain = runCatflap(
    ['forward', '--no-tail', '--listen', 'localhost:0', '--path', '/x', 'http://127.0.0.1:9/mcp'],
    { json: false }
  )
  t.match(
    await plain.stdout.next(),
    /^catflap: listening on http:\/\/localhost:\d+\/x, forwarding to http:\/\/127\.0\.0\.1:9\/mcp$/
  )
  t.same(await plain.close(), { code: 0, signal: null })
})

t.test('a port that is taken: exit code 1, and one line that says which and what to do', async t => {
  trackLeaks(t)
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const { port } = server.address() as { port: number }
  const catflap = runCatflap(['forward', '--no-tail', '--listen', String(port), '--', ...PUPPET], { json: false })
  t.same(await catflap.exit, { code: 1, signal: null })
  t.equal(catflap.stderr.items.length, 1)
  t.match(catflap.stderr.items[0], new RegExp(`127\\.0\\.0\\.1:${port}.*taken.*--listen 0`))
})

t.test('the command gets its folder and its variables, and no shell reads its arguments', async t => {
  const folder = realpathSync(tmpdir())
  const args = ['--cwd', folder, '--env', 'GREETING=hello=world', '--env', 'EMPTY=']
  const catflap = await start(t, args, [process.execPath, '-e', TELL, '$HOME; *', '--stdio'])
  const answer = await rawPost(catflap.url, initialize(0))
  t.same(answer.json(), {
    jsonrpc: '2.0',
    id: 0,
    result: { cwd: folder, env: { GREETING: 'hello=world', EMPTY: '' }, argv: ['$HOME; *', '--stdio'] }
  })
})

t.test("catflap's own token reaches neither the command nor ps", async t => {
  const token = 'a-secret-token-4711'
  const catflap = await start(t, DEBUG, PUPPET, { env: { CATFLAP_TOKEN: token } })
  t.equal((await rawPost(catflap.url, initialize(0))).status, 401)
  const opened = await rawPost(catflap.url, initialize(0), { 'catflap-token': token })
  t.equal(opened.status, 200)
  const pid = Number((await ofChild(catflap, 'pid ')).slice(4))
  watchProcess(pid)
  if (process.platform === 'linux') {
    for (const file of [`/proc/${pid}/environ`, `/proc/${pid}/cmdline`, `/proc/${catflap.pid}/cmdline`])
      t.notMatch(readFileSync(file, 'utf8'), token, file)
    t.match(readFileSync(`/proc/${pid}/environ`, 'utf8'), 'PATH=')
  }
  t.notMatch(catflap.stderr.items.join('\n'), token)
})

t.test('a session is bound to the token that made it', async t => {
  const catflap = await start(t, ['--token', 'ann', '--token', 'bob'])
  const as = (token: string) => ({ authorization: `Bearer ${token}` })
  const opened = await rawPost(catflap.url, initialize(0), as('ann'))
  const headers = legacyHeaders(String(opened.headers['mcp-session-id']))
  t.equal((await rawPost(catflap.url, rpc(1, 'do'), { ...headers, ...as('bob') })).status, 404)
  t.equal((await rawRequest(catflap.url, { method: 'DELETE', headers: { ...headers, ...as('bob') } })).status, 404)
  t.equal((await rawPost(catflap.url, rpc(1, 'do'), { ...headers, ...as('ann') })).status, 200)
})

t.test('SIGTERM: accepts nobody new, finishes what is in flight, ends streams and children, exit code 0', async t => {
  const catflap = await start(t, DEBUG)
  const s = await pipeSession(catflap.url)
  const [get, flight] = [await s.listen(), s.post(rpc(1, 'do', { every: 1_500, times: 1 }))]
  await ofChild(catflap, '"id":1,')
  catflap.proc.kill('SIGTERM')
  await catflap.events.until(e => e.event === 'stopping')
  await t.rejects(rawPost(catflap.url, initialize(0)), { code: 'ECONNREFUSED' })
  t.match((await flight).json(), { id: 1, result: {} })
  t.equal(await get.ended, 'end')
  t.same(await catflap.exit, { code: 0, signal: null })
})

t.test('a second signal ends it at once, and its children', async t => {
  const catflap = await start(t, DEBUG)
  const s = await pipeSession(catflap.url)
  const flight = t.rejects(s.post(rpc(1, 'do', { answer: false })))
  await ofChild(catflap, '"id":1,')
  catflap.proc.kill('SIGTERM')
  await catflap.events.until(e => e.event === 'stopping')
  catflap.proc.kill('SIGTERM')
  t.same(await catflap.exit, { code: 143, signal: null })
  await flight
})

for (const signal of ['SIGINT', 'SIGHUP'] as const) {
  t.test(`${signal} ends it as SIGTERM does`, async t => {
    const catflap = await start(t, [])
    const s = await pipeSession(catflap.url)
    const get = await s.listen()
    catflap.proc.kill(signal)
    t.same(await within(catflap.exit), { code: 0, signal: null })
    t.equal(await get.ended, 'end')
  })
}

t.test('the drain is bounded', async t => {
  const catflap = await start(t, [...DEBUG, '--drain-timeout', '100ms'])
  const s = await pipeSession(catflap.url)
  const flight = s.post(rpc(1, 'do', { answer: false }))
  await ofChild(catflap, '"id":1,')
  catflap.proc.kill('SIGTERM')
  const answer = await flight
  t.equal(answer.status, 503)
  t.match(answer.json(), { id: 1, error: { data: { code: 'shutting_down' } } })
  t.same(await catflap.exit, { code: 0, signal: null })
  t.match(await catflap.events.until(e => e.event === 'drain'), { level: 'warn' })
})

t.test('killed, it takes every child of every session with it', async t => {
  const catflap = await start(t, DEBUG)
  const sessions = [await pipeSession(catflap.url), await pipeSession(catflap.url)]
  for (const s of sessions) await s.post(notification('n'))
  await catflap.kill9()
  // The children carry the mark that trackLeaks looks for.
})
