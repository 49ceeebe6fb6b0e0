/** What operators are told of a store that several processes share: real Redis, paused and gone. */
import { Ajv2020 } from 'ajv/dist/2020.js'
import t, { type Test } from 'tap'
import { OPENAPI } from '../../src/admin/openapi.ts'
import { createForward, createReverse, type ForwardOptions } from '../../src/index.ts'
import { type RedisServer, skipWithoutRedis, startRedis } from '../fixtures/servers/redis.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { rawRequest } from '../helpers/raw-client.ts'
import { TOKEN } from './stage.ts'

const skip = skipWithoutRedis()
const target = { url: 'http://127.0.0.1:1/mcp' }
const CLUSTER_KEY = 'geheim-geheim-geheim-geheim-geheim'
const ajv = new Ajv2020({ strict: false, allErrors: true })
ajv.addFormat('date-time', /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/)
ajv.addSchema({ $id: 'openapi', ...OPENAPI })

interface Answer {
  readonly status: number
  readonly body: {
    readonly status?: string
    readonly store?: Readonly<Record<string, unknown>>
  }
}

type Ask = (path: '/readyz' | '/api/status') => Promise<Answer>

/** Every answer is as the document says. */
function asker(t: Test, admin: string): Ask {
  return async path => {
    const { status, text } = await rawRequest(`${admin}${path}`, {
      method: 'GET',
      headers: { authorization: `Bearer ${TOKEN}` }
    })
    const body = JSON.parse(text) as Answer['body']
    const name = path === '/readyz' ? 'Readiness' : 'Status'
    const validate = ajv.compile({ $ref: `openapi#/components/schemas/${name}` })
    t.ok(validate(body), `${path}: ${ajv.errorsText(validate.errors)} ${text}`)
    t.notMatch(text, /geheim/)
    return { status, body }
  }
}

/** Asks until it is so: the answers are what there is to wait for. */
async function until(ask: () => Promise<Answer>, is: (answer: Answer) => boolean): Promise<Answer> {
  const end = performance.now() + 20_000
  for (;;) {
    const answer = await ask()
    if (is(answer)) return answer
    if (performance.now() > end) throw new Error(`still ${JSON.stringify(answer)}`)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}

async function opened(
  t: Test,
  onFailure: 'fail' | 'local'
): Promise<{ redis: RedisServer; ask: Ask; options: ForwardOptions }> {
  trackLeaks(t)
  const redis = await startRedis([['requirepass', 'geheim']])
  t.teardown(() => redis.stop())
  const url = redis.url.replace('//', '//:geheim@')
  const sharedStore = { url, timeout: 200, lease: 2_000, onFailure }
  const cluster = { listen: {}, keys: [CLUSTER_KEY] }
  const options = { target, sharedStore, cluster, admin: { token: TOKEN }, metrics: true }
  const proxy = await createForward(options)
  t.teardown(() => proxy.close())
  t.equal(proxy.exportMetrics().includes('catflap_store_up 1\n'), true)
  const ask = asker(t, proxy.adminUrl!)
  const { body } = await until(
    () => ask('/api/status'),
    a => a.body.store?.leased === true
  )
  t.match(body.store, { name: redis.url, state: 'up', instance: /^[\w-]{12,}$/, address: /^127\.0\.0\.1:\d+$/ })
  t.notHas(body.store, 'reason')
  t.match(await ask('/readyz'), { status: 200, body: { status: 'ready', store: { ready: true, state: 'up' } } })
  redis.pause()
  const label = new RegExp(`^${redis.url} does not do its work \\(.+\\)`)
  const lost = await until(
    () => ask('/readyz'),
    a => a.body.store?.state !== 'up'
  )
  t.match(lost.body.store, { why: label })
  t.match(proxy.exportMetrics(), /\ncatflap_store_up 0\n/)
  await until(
    () => ask('/api/status'),
    a => a.body.store?.leased === false
  )
  t.match(proxy.exportMetrics(), /\ncatflap_store_leased 0\n/)
  return { redis, ask, options }
}

t.test('a store that does not do its work: not ready, until it does', { skip, timeout: 60_000 }, async t => {
  const { redis, ask } = await opened(t, 'fail')
  t.match(await ask('/readyz'), { status: 503, body: { status: 'not ready', store: { ready: false, state: 'down' } } })
  const { store } = (await ask('/api/status')).body
  t.match(store, { state: 'down', reason: /./ })
  redis.resume()
  await until(
    () => ask('/readyz'),
    a => a.status === 200
  )
  const back = (
    await until(
      () => ask('/api/status'),
      a => a.body.store?.leased === true
    )
  ).body.store!
  t.equal(back.state, 'up')
  t.ok(String(back.since) > String(store!.since), 'since then')
})

t.test('where sessions go on without it: ready, and degraded', { skip, timeout: 60_000 }, async t => {
  const { redis, ask } = await opened(t, 'local')
  t.match(await ask('/readyz'), { status: 200, body: { status: 'ready', store: { ready: true, state: 'degraded' } } })
  t.match((await ask('/api/status')).body.store, { state: 'degraded', reason: /./ })
  redis.resume()
  await until(
    () => ask('/readyz'),
    a => a.body.store?.state === 'up'
  )
})

t.test('so it is with a reverse proxy; and where Redis never was', { timeout: 60_000 }, async t => {
  trackLeaks(t)
  const sharedStore = { url: 'redis://:geheim@127.0.0.1:1', timeout: 200, lease: 2_000 }
  const proxy = await createReverse({ routes: { a: { targets: [target] } }, sharedStore, admin: { token: TOKEN } })
  t.teardown(() => proxy.close())
  const ask = asker(t, proxy.adminUrl!)
  const { body } = await until(
    () => ask('/readyz'),
    a => a.status === 503
  )
  t.match(body, {
    status: 'not ready',
    store: { ready: false, state: 'down', why: /^redis:\/\/127\.0\.0\.1:1 does not/ }
  })
  t.match(proxy.exportMetrics(), /\ncatflap_store_up 0\n/)
  t.notHas((await ask('/api/status')).body.store, 'address')
})

t.test('without one nothing is said of it', async t => {
  trackLeaks(t)
  const proxy = await createForward({ target, admin: { token: TOKEN }, metrics: true })
  t.teardown(() => proxy.close())
  const ask = asker(t, proxy.adminUrl!)
  t.notHas((await ask('/readyz')).body, 'store')
  t.notHas((await ask('/api/status')).body, 'store')
  t.notMatch(proxy.exportMetrics(), /catflap_store_(?:up|leased)/)
})
