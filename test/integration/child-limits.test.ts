/** Commands that fail, or want more than they may have. */
import t, { type Test } from 'tap'
import { settings } from '../../src/proxy/options.ts'
import type { CommandRoute } from '../../src/proxy/reverse-options.ts'
import { StdioTarget } from '../../src/proxy/stdio-target.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { rawPost, rawRequest } from '../helpers/raw-client.ts'
import { initialize, modern, modernHeaders, rpc } from '../helpers/rpc.ts'
import { fixtureArgv } from '../helpers/stdio-peer.ts'
import { within } from '../helpers/wait.ts'
import { pipeDoor, pipeSession } from './pipe-door.ts'

const script = (code: string, more: Partial<CommandRoute> = {}): CommandRoute => ({
  command: process.execPath,
  args: ['-e', code],
  ...more
})

const fixture = (file: 'puppet-stdio.ts' | 'stdio-server.ts', more: Partial<CommandRoute>): CommandRoute => {
  const [command, ...args] = fixtureArgv(file)
  return { command, args, ...more }
}

t.test('a command that keeps failing is parked: calls fail at once, with its last words', async t => {
  const target = script('process.stderr.write("no such file: config.json\\n"); process.exitCode = 7')
  const { url, log } = await pipeDoor(t, 'puppet-stdio.ts', { target })
  for (let n = 1; n <= 5; n++) {
    const answer = await rawPost(url, initialize(n))
    t.equal(answer.status, 502, `${n}`)
    t.match(answer.json(), { id: n, error: { data: { code: 'child_exited' } } })
  }
  const lost = log.of('child-exit').length
  t.equal(lost, 5)
  const parked = await rawPost(url, initialize(6))
  t.equal(parked.status, 503)
  t.match(parked.json(), {
    id: 6,
    error: {
      message: /5 times.*code 7.*no such file: config\.json/,
      data: { code: 'command_parked', exitCode: 7, stderr: ['no such file: config.json'] }
    }
  })
  const { retryAfter } = (parked.json() as { error: { data: { retryAfter: number } } }).error.data
  t.equal(parked.headers['retry-after'], String(retryAfter))
  t.equal(log.of('child-exit').length, lost, 'nothing was started')
})

t.test('so are requests of the modern era', async t => {
  const target = script('process.stderr.write("broken\\n"); process.exitCode = 7', { era: 'modern' })
  const { url } = await pipeDoor(t, 'puppet-stdio.ts', { target })
  const ask = (n: number) => {
    const message = modern(rpc(n, 'tools/list'))
    return rawPost(url, message, modernHeaders(message))
  }
  for (let n = 1; n <= 5; n++) t.match((await ask(n)).json(), { error: { data: { code: 'child_exited' } } }, `${n}`)
  t.match((await ask(6)).json(), { id: 6, error: { message: /broken/, data: { code: 'command_parked' } } })
})

t.test('the state of the target tells it, and a child that works ends it', async t => {
  trackLeaks(t)
  const dir = t.testdir({ ok: '' })
  const { rmSync, writeFileSync } = await import('node:fs')
  rmSync(`${dir}/ok`)
  const target = new StdioTarget(
    'default',
    script(
      `if (!require('fs').existsSync(${JSON.stringify(`${dir}/ok`)})) process.exit(1)
       process.stdin.on('data', d => console.log(JSON.stringify({ jsonrpc: '2.0', id: JSON.parse(d).id, result: {} })))`
    ),
    settings({ killAfter: 500 }),
    undefined
  )
  t.teardown(() => target.close())
  t.match(target.health(), [{ member: 'default', state: 'up', inFlight: 0 }])
  const lost = async (): Promise<void> => {
    const gone = Promise.withResolvers<void>()
    await target.start({ ...QUIET, lost: () => gone.resolve() })
    await within(gone.promise)
  }
  for (let n = 0; n < 5; n++) await lost()
  t.match(target.health(), [{ state: 'parked', reason: /code 1/ }])
  t.ok(target.health()[0]!.until! > Date.now())
  await t.rejects(target.start(QUIET), { code: 'command_parked' })
  writeFileSync(`${dir}/ok`, '')
  // As a client on stdio, who has but this one.
  const answered = Promise.withResolvers<void>()
  const leg = target.open({ ...QUIET, answered: () => answered.resolve() })
  const { Message } = await import('../../src/index.ts')
  const message = Message.from(rpc(1, 'ping'))
  const input = { kind: 'request', era: 'legacy', message, batch: undefined, body: undefined, headers: [] } as const
  leg.call(input, { onHead() {}, onData() {}, onMessage() {}, onEnd() {}, onError() {} })
  await within(answered.promise)
  t.match(target.health(), [{ state: 'up' }])
})

const QUIET = { message() {}, late() {}, noise() {}, stderr() {}, lost() {} }

t.test('no more children than the route allows; one that ends makes room', async t => {
  const target = fixture('puppet-stdio.ts', { maxChildren: 2 })
  const { url } = await pipeDoor(t, 'puppet-stdio.ts', { target })
  const [a] = [await pipeSession(url), await pipeSession(url)]
  const refused = await rawPost(url, initialize(3))
  t.equal(refused.status, 503)
  t.ok(refused.headers['retry-after'])
  t.match(refused.json(), { id: 3, error: { data: { code: 'too_many_children' } } })
  await rawRequest(url, { method: 'DELETE', headers: a.headers })
  t.ok((await pipeSession(url)).id)
})

t.test('a shared child that nobody uses goes first; one in use does not', async t => {
  const target = fixture('stdio-server.ts', { maxChildren: 1 })
  const { url, log, door } = await pipeDoor(t, 'stdio-server.ts', { target, metrics: true })
  const ask = (n: number, name: string, args: object = {}) => {
    const message = modern(rpc(n, 'tools/call', { name, arguments: args }))
    return rawPost(url, message, modernHeaders(message))
  }
  t.equal((await ask(1, 'echo')).status, 200)
  const held = ask(2, 'slow')
  await log.child(/slow.started/)
  t.match((await rawPost(url, initialize(3))).json(), { error: { data: { code: 'too_many_children' } } })
  await ask(4, 'release')
  t.equal((await held).status, 200)
  const session = await pipeSession(url)
  t.equal((await session.post(rpc(5, 'ping'))).status, 200)
  t.match((await ask(6, 'echo')).json(), { error: { data: { code: 'too_many_children' } } })
  await rawRequest(url, { method: 'DELETE', headers: session.headers })
  t.equal((await ask(7, 'echo')).status, 200)
  t.match(door.exportMetrics(), /catflap_children 1/)
})

t.test('a shared child ends when nobody has used it for a while, and comes back', async t => {
  const code = `
    process.stderr.write('begun\\n')
    process.stdin.on('data', d => console.log(JSON.stringify({ jsonrpc: '2.0', id: JSON.parse(d).id, result: {} })))
    process.stdin.on('end', () => process.stderr.write('ended\\n'))`
  const target = script(code, { era: 'modern' })
  const { url, log } = await pipeDoor(t, 'stdio-server.ts', { target, settings: { childIdle: 150 } })
  const ask = async (n: number): Promise<number> => {
    const message = modern(rpc(n, 'tools/list'))
    return (await rawPost(url, message, modernHeaders(message))).status
  }
  t.equal(await ask(1), 200)
  await log.child(/^ended/)
  t.equal(await ask(2), 200)
  t.equal(log.items.filter(l => l.text === 'begun').length, 2)
  t.equal(log.of('child-exit').length, 0, 'which is no loss')
})

t.test(
  'a child that takes too much memory is ended, and its calls are told',
  { skip: process.platform !== 'linux' },
  async t => {
    const code = `
    const held = []
    require('node:readline').createInterface({ input: process.stdin }).on('line', line => {
      const { id, method } = JSON.parse(line)
      if (id === undefined) return
      if (method === 'grow') return setInterval(() => held.push(Buffer.alloc(20 * 1024 * 1024, 1)), 20)
      const result = { protocolVersion: '2025-11-25', capabilities: {}, serverInfo: { name: 'x', version: '1' } }
      console.log(JSON.stringify({ jsonrpc: '2.0', id, result }))
    })`
    const target = script(code, { maxMemory: 400 * 1024 * 1024 })
    const { url } = await pipeDoor(t, 'puppet-stdio.ts', { target, settings: { streamAfter: 60_000 } })
    const [one, other] = [await pipeSession(url), await pipeSession(url)]
    const answer = await one.post(rpc(1, 'grow'))
    t.equal(answer.status, 502)
    t.match(answer.json(), { id: 1, error: { message: /it may have 400 MiB/, data: { code: 'child_memory' } } })
    t.equal((await one.post(rpc(2, 'ping'))).status, 404)
    t.equal((await other.post(rpc(2, 'ping'))).status, 200)
  }
)

t.test('what a command starts counts as well', { skip: process.platform !== 'linux' }, async t => {
  const child = 'const held = []; setInterval(() => held.push(Buffer.alloc(20 * 1024 * 1024, 1)), 20)'
  const code = `
    require('node:child_process').spawn(process.execPath, ['-e', ${JSON.stringify(child)}], { stdio: 'ignore' })
    setInterval(() => {}, 1e6)`
  const target = script(code, { maxMemory: 500 * 1024 * 1024 })
  // However slow the machine is, the answer is no stream.
  const { url } = await pipeDoor(t, 'puppet-stdio.ts', { target, settings: { streamAfter: 60_000 } })
  t.match((await rawPost(url, initialize(1))).json(), { error: { data: { code: 'child_memory' } } })
})

t.test('a command on a route gets a short environment, and what the route gives', async t => {
  process.env.TEST_OF_CATFLAP_SECRET = 'hunter2'
  process.env.TEST_OF_CATFLAP_WANTED = 'yes'
  t.teardown(() => {
    delete process.env.TEST_OF_CATFLAP_SECRET
    delete process.env.TEST_OF_CATFLAP_WANTED
  })
  const code = `
    require('node:readline').createInterface({ input: process.stdin }).on('line', line => {
      console.log(JSON.stringify({ jsonrpc: '2.0', id: JSON.parse(line).id, result: { env: process.env } }))
    })`
  const env = async (target: CommandRoute): Promise<Record<string, string>> => {
    const { url } = await pipeDoor(t, 'puppet-stdio.ts', { target })
    return ((await rawPost(url, initialize(1))).json() as { result: { env: Record<string, string> } }).result.env
  }
  const short = await env(script(code, { inheritEnv: ['TEST_OF_CATFLAP_WANTED'], env: { OWN: '1' } }))
  t.match(short, { TEST_OF_CATFLAP_WANTED: 'yes', OWN: '1', PATH: process.env.PATH })
  t.notOk('TEST_OF_CATFLAP_SECRET' in short)
  t.match(await env(script(code)), { TEST_OF_CATFLAP_SECRET: 'hunter2' })
})

/** Lets so many ms pass for whoever asks what time it is. */
function later(t: Test, ms: number): void {
  const now = performance.now.bind(performance)
  t.intercept(performance, 'now', { value: () => now() + ms })
}

t.test('where all children are of sessions that do nothing, the one idle for longest makes room', async t => {
  const target = fixture('stdio-server.ts', { maxChildren: 3 })
  const { url, door } = await pipeDoor(t, 'stdio-server.ts', { target })
  const [streams, idle, newer] = [await pipeSession(url), await pipeSession(url), await pipeSession(url)]
  const stream = await streams.listen()
  t.equal((await newer.post(rpc(1, 'ping'))).status, 200)
  t.match((await rawPost(url, initialize(9))).json(), { error: { data: { code: 'too_many_children' } } })
  later(t, 61_000)
  t.ok((await pipeSession(url)).id)
  t.equal((await idle.post(rpc(2, 'ping'))).status, 404, 'as when its time is over')
  t.equal((await newer.post(rpc(2, 'ping'))).status, 200)
  t.match((await rawPost(url, initialize(9))).json(), { error: { data: { code: 'too_many_children' } } })
  t.equal(door.stats.sessions, 3)
  stream.close()
})

t.test('so it does for requests of the modern era, with logs or without', async t => {
  const target = fixture('stdio-server.ts', { maxChildren: 2 })
  const { url, door } = await pipeDoor(t, 'stdio-server.ts', { target })
  await pipeSession(url)
  await pipeSession(url)
  const ask = (n: number, meta: object = {}) => {
    const message = modern(rpc(n, 'tools/call', { name: 'echo', arguments: {} }), {}, meta as Record<string, unknown>)
    return rawPost(url, message, modernHeaders(message))
  }
  t.equal((await ask(1)).status, 503)
  later(t, 61_000)
  t.equal((await ask(2)).status, 200)
  t.equal(door.stats.sessions, 1)
  t.equal((await ask(3, { 'io.modelcontextprotocol/logLevel': 'debug' })).status, 200)
  t.equal(door.stats.sessions, 0)
})

/** Speaks both eras, and dies when it is told to. */
const SLOW_TO_END = `
  const lines = require('node:readline').createInterface({ input: process.stdin })
  lines.on('line', line => {
    const { id, method } = JSON.parse(line)
    if (id === undefined) return
    if (method === 'die') process.exit(3)
    const serverInfo = { name: 'x', version: '1' }
    const old = { protocolVersion: '2025-11-25', capabilities: {}, serverInfo }
    const supportedVersions = ['2026-07-28']
    const found = { resultType: 'complete', supportedVersions, capabilities: {}, serverInfo }
    const result = method === 'initialize' ? old : method === 'server/discover' ? found : { resultType: 'complete' }
    console.log(JSON.stringify({ jsonrpc: '2.0', id, result }))
  })
  // Takes its time to end, so that others come meanwhile.
  lines.on('close', () => setTimeout(() => {}, Number(process.env.LINGER ?? 400)))`

t.test('a request with logs that waits has the room that comes free, whoever had it', async t => {
  const { url } = await pipeDoor(t, 'puppet-stdio.ts', {
    target: script(SLOW_TO_END, { maxChildren: 3 }),
    settings: { killAfter: 3_000 }
  })
  const log = (n: number) => {
    const message = modern(rpc(n, 'tools/list'), {}, { 'io.modelcontextprotocol/logLevel': 'debug' })
    return rawPost(url, message, modernHeaders(message))
  }
  const first = await pipeSession(url)
  t.equal((await log(1)).status, 200)
  const [waits, second] = [log(2), pipeSession(url)]
  await Promise.race([waits, second])
  await rawRequest(url, { method: 'DELETE', headers: first.headers })
  t.equal((await within(waits)).status, 200)
  t.ok((await within(second)).id)
})

t.test('a session whose child is gone makes no room', async t => {
  const target = fixture('puppet-stdio.ts', { maxChildren: 1 })
  const { url, door } = await pipeDoor(t, 'puppet-stdio.ts', { target, sessionLoss: 'reinitialize' })
  const gone = await pipeSession(url)
  await gone.post(rpc(1, 'do', { answer: false, exit: 3 }))
  t.ok((await pipeSession(url)).id)
  later(t, 61_000)
  t.ok((await pipeSession(url)).id)
  t.equal(door.stats.sessions, 2, 'the other one has made it')
})

t.test('a session that waits too long for room for its new process goes on when there is some', async t => {
  const { url, door } = await pipeDoor(t, 'puppet-stdio.ts', {
    target: script(SLOW_TO_END, { maxChildren: 1, env: { LINGER: '4000' } }),
    sessionLoss: 'reinitialize',
    settings: { killAfter: 10_000, requestTimeout: 1_500 }
  })
  const gone = await pipeSession(url)
  await gone.post(rpc(1, 'die'))
  const other = await pipeSession(url)
  await rawRequest(url, { method: 'DELETE', headers: other.headers })
  const refused = await gone.post(rpc(2, 'ping'))
  t.match(refused.json(), { id: 2, error: { data: { code: 'too_many_children' } } })
  t.equal(door.stats.sessions, 1)
  let again = await gone.post(rpc(3, 'ping'))
  while (again.status === 503) again = await gone.post(rpc(3, 'ping'))
  t.equal(again.status, 200)
})
