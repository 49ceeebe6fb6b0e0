/** `catflap reverse` while clients of both eras never stop asking: other options, then its end. Nothing is lost. */
import { renameSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { Test } from 'tap'
import t from 'tap'
import { type HttpServer, startHttpServer } from '../fixtures/servers/http-server.ts'
import { type CatflapRun, type JsonEvent, runCatflap } from '../helpers/catflap.ts'
import { connectHttp, type HttpTestClient } from '../helpers/clients.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { openSse, rawPost, rawRequest, type SseStream } from '../helpers/raw-client.ts'
import { initialize, legacyHeaders, modern, modernHeaders, rpc } from '../helpers/rpc.ts'
import { fixtureArgv } from '../helpers/stdio-peer.ts'
import { within } from '../helpers/wait.ts'
import { rawSession } from '../integration/http-door.ts'
import { Account, comeAndGo, connectLegacy, stay, subscribe } from './steady-clients.ts'

const TOKEN = 'operator-of-the-test'
const PATIENCE = { timeoutMs: 60_000 }
/** Of each kind, but for the pipe: one child is enough. */
const EACH = 2
const CLIENTS = ['stays', 'comes', 'pipe', 'modern'] as const

interface Ends {
  readonly a: string
  readonly m: string
  readonly more?: readonly string[]
}

/** The process by its file, which a test writes anew; each time it waits for what came of it. */
class FiledProxy {
  readonly run: CatflapRun
  readonly #file: string
  #read = 0

  constructor(t: Test, ends: Ends) {
    this.#file = path.join(t.testdir(), 'catflap.yaml')
    this.#write(ends)
    this.run = runCatflap(['reverse', '--config', this.#file])
    t.teardown(() => this.run.kill9())
  }

  async change(ends: Ends, event = 'config-changed'): Promise<JsonEvent> {
    this.#write(ends)
    return await this.hangUp(event)
  }

  /** SIGHUP, and the next of these events. */
  async hangUp(event: string): Promise<JsonEvent> {
    this.run.proc.kill('SIGHUP')
    const { items } = this.run.events
    const found = await this.run.events.until(e => e.event === event && items.indexOf(e) >= this.#read, PATIENCE)
    this.#read = items.indexOf(found) + 1
    return found
  }

  async operate(origin: string, method: string, what: string): Promise<{ status: number; body: JsonEvent }> {
    const headers = { authorization: `Bearer ${TOKEN}` }
    const { status, json } = await rawRequest(`${origin}${what}`, { method, headers })
    return { status, body: json() as JsonEvent }
  }

  #write({ a, m, more = [] }: Ends): void {
    const pipe = JSON.stringify(fixtureArgv('stdio-server.ts', '--era', 'legacy'))
    const lines = [
      'listeners: [{ address: "127.0.0.1:0" }]',
      `admin: { address: "127.0.0.1:0", token: ${TOKEN} }`,
      'drainTimeout: 60s',
      // With what children say on stderr, which is what they have done.
      'log: { level: debug }',
      'routes:',
      `  a: { target: "${a}" }`,
      `  m: { target: "${m}" }`,
      // What tells that a process was started here has to reach it, or none could be missed.
      `  pipe: { command: ${pipe}, inheritEnv: [TEST_OF_CATFLAP_MARK] }`,
      ...more
    ]
    // As one step: it is looked at all the time.
    writeFileSync(`${this.#file}.new`, lines.join('\n'))
    renameSync(`${this.#file}.new`, this.#file)
  }
}

interface Scene {
  readonly proxy: FiledProxy
  /** Of a route. */
  url(name: string): string
  readonly admin: string
  /** Legacy ones, and those of revision 2026-07-28. */
  readonly legacy: readonly [HttpServer, HttpServer]
  readonly modern: readonly [HttpServer, HttpServer]
  readonly account: Account
  /** End when nobody answers any more. */
  readonly clients: readonly Promise<void>[]
  /** A session at the first server, by the SDK, and the stream of one more. */
  readonly quiet: HttpTestClient
  readonly stream: SseStream
}

/** All kinds of clients have had so many more answers. */
async function goOn(account: Account, more = 4): Promise<void> {
  await Promise.all(
    CLIENTS.map(name => account.tally.until(name, account.tally.count(name) + more, PATIENCE.timeoutMs))
  )
}

/** Tags of calls that have reached a server, each as often as it did. */
function executed(server: HttpServer): string[] {
  return server.requests.flatMap(({ body }) => /"tag":"([^"]+)"/.exec(body.toString())?.[1] ?? [])
}

async function begin(t: Test): Promise<Scene> {
  const legacy = [await startHttpServer(), await startHttpServer()] as const
  const modern = [await startHttpServer({ mode: 'modern' }), await startHttpServer({ mode: 'modern' })] as const
  for (const server of [...legacy, ...modern]) t.teardown(() => server.close())
  const proxy = new FiledProxy(t, { a: legacy[0].url, m: modern[0].url })
  const told = await proxy.run.events.until(e => e.event === 'listening', PATIENCE)
  const url = (name: string): string => `${(told.listeners as string[])[0]}/${name}/mcp`
  const account = new Account()
  const connected = async (c: Promise<HttpTestClient>): Promise<HttpTestClient> => {
    const client = await c
    t.teardown(() => client.close())
    return client
  }
  const clients: Promise<void>[] = []
  for (let i = 0; i < EACH; i++) {
    const c = await connected(connectLegacy(url('a')))
    await c.listening()
    clients.push(stay(c, account, 'stays'), comeAndGo(url('a'), account, 'comes'))
    clients.push(subscribe(await connected(connectHttp(url('m'), { era: 'modern' })), account, 'modern'))
  }
  clients.push(stay(await connected(connectLegacy(url('pipe'))), account, 'pipe'))
  const quiet = await connected(connectLegacy(url('a')))
  const headers = { ...legacyHeaders(await rawSession(url('a'))), accept: 'text/event-stream' }
  const stream = await openSse(url('a'), { headers })
  return { proxy, url, admin: String(told.admin), legacy, modern, account, clients, quiet, stream }
}

async function change(t: Test, { proxy, url, legacy, modern, account }: Scene): Promise<void> {
  const [[one, two], [m1, m2]] = [
    legacy.map(s => s.url) as [string, string],
    modern.map(s => s.url) as [string, string]
  ]
  const more = [`  x: { target: "${two}" }`]
  t.match(await proxy.change({ a: one, m: m1, more }), { added: ['x'] })
  const ofX = await rawSession(url('x'))
  await goOn(account)
  t.match(await proxy.change({ a: two, m: m1, more }), { replaced: ['a'] })
  await goOn(account)
  t.match(await proxy.change({ a: 'nonsense', m: m2 }, 'config-refused'), { text: /routes\.a/ })
  await goOn(account)
  t.match(await proxy.change({ a: two, m: m2 }), { replaced: ['m'], removed: ['x'] })
  t.equal((await rawPost(url('x'), initialize())).status, 404)
  await account.tally.until('modern subscription', 2 * EACH, PATIENCE.timeoutMs)
  for (let i = 0; i < 3; i++) await proxy.hangUp('config-read')
  await goOn(account)
  t.match(await proxy.change({ a: one, m: m2 }), { replaced: ['a'] })
  await goOn(account)
  // Without a stream, nothing was open there for all that time.
  t.equal((await rawPost(url('x'), rpc(1, 'ping'), legacyHeaders(ofX))).status, 200, 'a session outlives its route')
}

async function checkChanged(t: Test, { legacy: [one, two], account, stream }: Scene): Promise<void> {
  const moved = executed(two)
  t.ok(moved.some(tag => tag.startsWith('comes')))
  t.notOk(
    moved.some(tag => tag.startsWith('stays')),
    'a session ends where it began'
  )
  t.same(account.refused, new Map())
  t.same(account.ends, Array(EACH).fill('graceful'), 'only subscriptions at the server that was replaced have ended')
  one.changed('tools')
  t.match(await stream.nextMessage(), { method: 'notifications/tools/list_changed' }, 'its stream lives on too')
}

async function stop(t: Test, { proxy, url, admin, legacy: [one], account, quiet, stream }: Scene): Promise<void> {
  const held = quiet.client.callTool({ name: 'slow', arguments: {} })
  await one.counters.until('slow.started')
  const listen = modern(rpc('last', 'subscriptions/listen', { notifications: {} }))
  const subscription = await openSse(url('m'), { body: listen, headers: modernHeaders(listen) })
  t.equal((await proxy.operate(admin, 'GET', '/readyz')).status, 200)
  t.match(await proxy.operate(admin, 'POST', '/api/drain?grace=10m'), { status: 202, body: { phase: 'grace' } })
  t.equal((await proxy.operate(admin, 'GET', '/readyz')).status, 503)
  // Who was sent here before that was known is served, with new sessions too.
  await goOn(account)
  t.same(account.refused, new Map())
  proxy.run.proc.kill('SIGTERM')
  t.equal(await stream.ended, 'end')
  t.equal(await subscription.ended, 'end')
  t.match(JSON.parse(subscription.events.items.at(-1)!.data), { id: 'last', result: { resultType: 'complete' } })
  const over = proxy.run.events.items.some(e => e.event === 'drain-ended')
  t.equal(over, false, 'somebody still waits for an answer')
  one.state.gate.release()
  t.match(await held, { content: [{ text: 'released' }] })
  t.match(await proxy.run.events.until(e => e.event === 'drain-ended', PATIENCE), { cut: 0 })
  t.same(await within(proxy.run.exit, PATIENCE), { code: 0, signal: null })
}

function checkAccount(t: Test, { proxy, account, legacy, modern }: Scene): void {
  t.same(account.wrong, [])
  t.same(account.ends, Array(2 * EACH).fill('graceful'))
  const isPiped = (tag: string): boolean => tag.startsWith('pipe')
  const answered = account.answered.filter(tag => !isPiped(tag))
  const made = [...legacy, ...modern].flatMap(executed)
  t.same(made.sort(), answered.sort(), 'each call was made once, and answered once')
  const byChild = proxy.run.stderr.items.filter(line => /fixture tools\/call (?:echo|progress) /.test(line))
  t.equal(byChild.length, account.answered.filter(isPiped).length, 'by a child too')
  // The session that a DELETE names may have been ended by then.
  const refusal = /"shutting_down"|fetch failed|Failed to terminate session: Not Found/
  for (const [tag, why] of account.refused) t.match(why, refusal, tag)
}

t.test('changed, changed again and stopped under load, it loses nothing', { timeout: 110_000 }, async t => {
  trackLeaks(t)
  const scene = await begin(t)
  await goOn(scene.account)
  await change(t, scene)
  await checkChanged(t, scene)
  await stop(t, scene)
  await within(Promise.all(scene.clients), { ...PATIENCE, what: 'clients to notice' })
  checkAccount(t, scene)
})
