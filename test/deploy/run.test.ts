/** `catflap reverse` with each of the files: it serves, it is probed as the examples probe it, and it stops when it is told to. */
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { request } from 'node:https'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { parse } from 'yaml'
import { echoWithHandshake, type RawHttpServer, startRawHttp } from '../fixtures/servers/raw-http.ts'
import { type CatflapRun, runCatflap } from '../helpers/catflap.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { rawPost, rawRequest } from '../helpers/raw-client.ts'
import { skipWithout } from '../helpers/require.ts'
import { initialize } from '../helpers/rpc.ts'
import { waitFor } from '../helpers/wait.ts'
import { type Config, DEPLOY, freePort, manifests, portOf, read, skipWithoutCommand, tempFolder } from './example.ts'

const SECRET = 'a-secret-of-some-length'

interface Running {
  readonly run: CatflapRun
  readonly server: RawHttpServer
  readonly folder: string
  readonly port: number
  readonly admin: string
}

/** The file as it is, but for ports, the server, and where secrets stand. */
async function start(t: Test, original: string, prepare: (folder: string) => void = () => {}): Promise<Running> {
  trackLeaks(t)
  const server = await startRawHttp(echoWithHandshake('s'))
  t.teardown(() => server.close())
  const folder = tempFolder(t)
  prepare(folder)
  const secret = path.join(folder, 'secret')
  writeFileSync(secret, `${SECRET}\n`)
  const { listeners, admin } = parse(original) as Config
  const [port, adminPort] = [await freePort(), await freePort()]
  const file = path.join(folder, 'catflap.yaml')
  writeFileSync(
    file,
    original
      .replace(`:${portOf(listeners[0]!.address)}\n`, `:${port}\n`)
      .replace(`:${portOf(admin.address)}\n`, `:${adminPort}\n`)
      .replace(/target: http:\S+/, `target: ${server.url}`)
      .replace(/file:\/\S+/g, `file:${secret}`)
  )
  const run = runCatflap(['reverse', '--config', file])
  t.teardown(() => run.close())
  await run.events.until(event => event.event === 'listening', { timeoutMs: 20_000 })
  return { run, server, folder, port, admin: `http://127.0.0.1:${adminPort}` }
}

async function probed(t: Test, { admin, run }: Running): Promise<void> {
  for (const probe of ['/livez', '/readyz'])
    t.equal((await rawRequest(`${admin}${probe}`, { method: 'GET' })).status, 200, probe)
  t.equal((await rawRequest(`${admin}/api/status`, { method: 'GET' })).status, 401, 'all else needs the token')
  const { code } = await run.close()
  t.equal(code, process.platform === 'win32' ? null : 0)
}

const skip = skipWithoutCommand('reverse')
const configMap = manifests('kubernetes/catflap.yaml').find(m => m.kind === 'ConfigMap') as {
  data: Record<string, string>
}
const files: Record<string, string> = {
  docker: read('docker/catflap.yaml'),
  nginx: read('nginx/catflap.yaml'),
  kubernetes: configMap.data['catflap.yaml']!
}

for (const [name, original] of Object.entries(files))
  t.test(`${name}: clients with the token are served`, { skip }, async t => {
    const running = await start(t, original)
    const url = `http://127.0.0.1:${running.port}/everything/mcp`
    t.equal((await rawPost(url, initialize())).status, 401)
    const answer = await rawPost(url, initialize(), { authorization: `Bearer ${SECRET}` })
    t.equal(answer.status, 200)
    t.ok(answer.headers['mcp-session-id'])
    await probed(t, running)
  })

t.test('systemd: the command is started only when a client comes', { skip }, async t => {
  await probed(t, await start(t, read('systemd/catflap.yaml')))
})

const openssl = skipWithout('openssl', ['version'])
t.test('tls: clients with a certificate are served, others are not', { skip: skip || openssl }, async t => {
  const script = path.join(DEPLOY, 'tls/make-certificates.sh')
  const running = await start(t, read('tls/catflap.yaml'), folder => {
    const { status, stderr } = spawnSync('sh', [script, path.join(folder, 'tls'), 'localhost'], { encoding: 'utf8' })
    t.equal(status, 0, stderr)
  })
  const pem = (name: string): string => readFileSync(path.join(running.folder, 'tls', name), 'utf8')
  const ask = async (own: object): Promise<{ status: number | undefined; text: string }> => {
    const headers = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' }
    const at = { host: 'localhost', port: running.port, path: '/everything/mcp' }
    const req = request({ ...at, method: 'POST', ca: pem('ca.pem'), agent: false, headers, ...own })
    req.end(JSON.stringify(initialize()))
    const [res] = (await waitFor(req, 'response')) as [IncomingMessage]
    return { status: res.statusCode, text: await text(res) }
  }
  t.match(await ask({ cert: pem('client.pem'), key: pem('client.key') }), { status: 200, text: /"result"/ })
  await t.rejects(ask({}))
  await probed(t, running)
})
