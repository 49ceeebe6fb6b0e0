/** Two catflaps with the example's file, haproxy with the example's file in front, and a Redis. */
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { skipWithoutRedis, startRedis } from '../fixtures/servers/redis.ts'
import { type CatflapRun, runCatflap } from '../helpers/catflap.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { rawPost, rawRequest } from '../helpers/raw-client.ts'
import { skipWithout } from '../helpers/require.ts'
import { initialize, legacyHeaders, notification, rpc } from '../helpers/rpc.ts'
import { fixtureArgv, spawnPeer } from '../helpers/stdio-peer.ts'
import { type Config, checkConfig, freePort, portOf, read, tempFolder, yaml } from './example.ts'

const skip =
  process.platform === 'win32' ? 'haproxy is tried on Unix' : skipWithout('haproxy', ['-v']) || skipWithoutRedis()
const CONFIG = read('cluster/catflap.yaml')
const HAPROXY = read('cluster/haproxy.cfg')
const config = yaml('cluster/catflap.yaml') as Config & { readonly cluster: { readonly listen: string } }
const TOKEN = 'a-token-of-some-length'

interface Instance {
  readonly run: CatflapRun
  readonly port: number
  readonly admin: number
}

/** The file as it is, but for addresses, ports, the command, and where secrets stand. */
async function startInstance(t: Test, folder: string, n: number, redis: string): Promise<Instance> {
  const [port, admin, cluster] = [await freePort(), await freePort(), await freePort()]
  const file = path.join(folder, `catflap-${n}.yaml`)
  const own = CONFIG.replace(`:${portOf(config.listeners[0]!.address)}\n`, `:${port}\n`)
    .replace(`:${portOf(config.admin.address)}\n`, `:${admin}\n`)
    .replace(`:${portOf(config.cluster.listen)}\n`, `:${cluster}\n`)
    .replace(/command: .*/, `command: ${JSON.stringify(fixtureArgv('puppet-stdio.ts'))}`)
    .replace(/redis:\S+/, redis)
    .replace(/file:\/etc\/catflap\/([\w-]+)/g, `file:${folder}/$1`)
    .replace(/^drainGrace: .*/m, 'drainGrace: 2s')
    .replace(/^drainTimeout: .*/m, 'drainTimeout: 2s')
  writeFileSync(file, own)
  const run = runCatflap(['reverse', '--config', file], { env: { ADDRESS: '127.0.0.1' } })
  t.teardown(() => run.close())
  await run.events.until(event => event.event === 'listening', { timeoutMs: 30_000 })
  return { run, port, admin }
}

async function startHaproxy(t: Test, folder: string, instances: readonly Instance[]): Promise<string> {
  const port = await freePort()
  const file = path.join(folder, 'haproxy.cfg')
  const servers = [...HAPROXY.matchAll(/^ {2}server (\w+) .*$/gm)]
  t.equal(servers.length, instances.length)
  const own = servers.reduce(
    (text, [line, name], i) =>
      text.replace(line, `  server ${name} 127.0.0.1:${instances[i]!.port} port ${instances[i]!.admin} inter 100ms`),
    HAPROXY.replace('maxconn 8000', 'maxconn 200').replace(/^ {2}bind .*$/m, `  bind 127.0.0.1:${port}`)
  )
  writeFileSync(file, own)
  const run = spawnPeer(['haproxy', '-db', '-f', file])
  t.teardown(async () => {
    run.proc.kill('SIGTERM')
    await run.exit
  })
  for (let up = false; !up; ) {
    up = await rawRequest(`http://127.0.0.1:${port}/`, { method: 'GET' }).then(
      () => true,
      () => run.proc.exitCode !== null
    )
  }
  t.equal(run.proc.exitCode, null, run.stderr.items.join('\n'))
  return `http://127.0.0.1:${port}`
}

t.test('each request goes to the next one, and a session goes on without the one it began at', { skip }, async t => {
  trackLeaks(t)
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const folder = tempFolder(t)
  for (const name of ['client-token', 'admin-token']) writeFileSync(path.join(folder, name), `${TOKEN}\n`)
  for (const name of ['store-key', 'cluster-key'])
    writeFileSync(path.join(folder, name), `${randomBytes(32).toString('hex')}\n`)
  const instances = [
    await startInstance(t, folder, 0, redis.url),
    await startInstance(t, folder, 1, redis.url)
  ] as const
  const origin = await startHaproxy(t, folder, instances)
  const url = `${origin}/everything/mcp`
  const own = { host: 'mcp.example.com', authorization: `Bearer ${TOKEN}` }
  const begin = (): ReturnType<typeof rawPost> => rawPost(url, initialize(), own)
  let begun = await begin()
  // Until haproxy has looked at them, none is ready.
  for (let tries = 1; begun.status === 503 && tries < 100; tries++) {
    await pause(100)
    begun = await begin()
  }
  t.equal(begun.status, 200, begun.text)
  const id = String(begun.headers['mcp-session-id'])
  const headers = { ...legacyHeaders(id), ...own }
  t.equal((await rawPost(url, notification('notifications/initialized'), headers)).status, 202)
  for (let n = 1; n <= 6; n++) t.match((await rawPost(url, rpc(n, 'echo'), headers)).json(), { id: n })
  for (const { admin } of instances) {
    const { text } = await rawRequest(`http://127.0.0.1:${admin}/metrics`, {
      method: 'GET',
      headers: { authorization: `Bearer ${TOKEN}` }
    })
    t.match(text, /^catflap_exchanges_total\{/m, 'it had requests')
  }
  let stops = true
  const meanwhile = (async () => {
    const seen = new Set<number>()
    for (let n = 100; stops; n++) seen.add((await rawPost(url, rpc(n, 'echo'), headers)).status)
    return [...seen]
  })()
  await instances[0].run.close()
  stops = false
  t.same(await meanwhile, [200], 'nobody notices that it stops')
  const after = await Promise.all([7, 8, 9, 10].map(n => rawPost(url, rpc(n, 'echo'), headers)))
  for (const [i, answer] of after.entries()) t.match(answer.json(), { id: 7 + i }, `${answer.status}`)
  t.equal((await rawRequest(url, { method: 'DELETE', headers })).status, 200)
})

t.test('it does not stick, is patient, and sends nothing twice', async t => {
  t.notMatch(HAPROXY, /^\s*(cookie|stick)/m)
  t.match(HAPROXY, /^ {2}balance roundrobin$/m)
  t.match(HAPROXY, /^ {2}retry-on conn-failure$/m)
  for (const side of ['client', 'server', 'tunnel']) t.match(HAPROXY, new RegExp(`^ {2}timeout ${side} 1h$`, 'm'))
  t.match(HAPROXY, new RegExp(`port ${portOf(config.admin.address)} `))
  for (const [, port] of HAPROXY.matchAll(/^ {2}server \w+ [\d.]+:(\d+)$/gm))
    t.equal(Number(port), portOf(config.listeners[0]!.address))
})

t.test('the file is one that catflap takes', { skip: process.platform === 'win32' }, t =>
  checkConfig(
    t,
    CONFIG.replace(/\$\{ADDRESS\}/g, '127.0.0.1')
      .replace('file:/etc/catflap/store-key', 'a'.repeat(64))
      .replace('file:/etc/catflap/cluster-key', 'b'.repeat(64))
  )
)
