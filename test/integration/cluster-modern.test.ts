/** Clients of 2026-07-28 and a command behind several instances, each with a child of its own: what one has begun it goes on with. */
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { type Interceptor, Message, type Reverse, type RouteOptions } from '../../src/index.ts'
import { skipWithoutBalancer, startBalancer } from '../cluster/balancer.ts'
import { skipWithoutRedis, startRedis } from '../fixtures/servers/redis.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { openSse, rawPost } from '../helpers/raw-client.ts'
import { modern, modernHeaders, type Rpc, rpc, toolCall } from '../helpers/rpc.ts'
import { clusterDoors, commandOf, type Instance } from './cluster-door.ts'
import { callTool, client } from './http-door.ts'
import { pipeSession } from './pipe-door.ts'
import { openReverse } from './reverse-door.ts'

const skip = skipWithoutRedis()
const KEEPING = commandOf('keeping-stdio.ts')

interface Answer {
  readonly result?: {
    readonly resultType?: string
    readonly requestState?: string
    readonly taskId?: string
    readonly structuredContent?: { readonly pid: number; readonly state?: string }
    readonly status?: string
    readonly pid?: number
  }
  readonly error?: { readonly code: number; readonly message: string }
}

type Two = [Instance, Instance]

async function ask({ url }: Pick<Instance, 'url'>, message: Rpc): Promise<Answer> {
  const said = modern(message, { elicitation: {} })
  const answer = await rawPost(url, said, modernHeaders(said))
  // A stream where it took long.
  const text = answer.text.match(/^data: (\{.*"id".*)$/m)?.[1] ?? answer.text
  return JSON.parse(text) as Answer
}

function call(id: number, name: string, requestState?: string): Rpc {
  const { params, ...rest } = toolCall(id, name)
  if (requestState === undefined) return { ...rest, params }
  const inputResponses = { colour: { action: 'accept', content: { colour: 'blue' } } }
  return { ...rest, params: { ...params, requestState, inputResponses } }
}

const children = ({ log }: Instance): number => log.of('stderr').filter(({ text }) => text.startsWith('pid')).length

t.test('what answers input_required goes to the child that has asked, wherever it comes', { skip }, async t => {
  const { instances } = await clusterDoors(t, KEEPING, { instances: 3 })
  for (let n = 0; n < 9; n++) {
    const asked = await ask(instances[n % 3]!, call(n, 'ask'))
    t.equal(asked.result?.resultType, 'input_required')
    const state = asked.result?.requestState
    const answer = await ask(instances[(n + 1 + (n % 2)) % 3]!, call(n, 'ask', state))
    t.equal(answer.result?.structuredContent?.state, state, JSON.stringify(answer.error))
  }
})

t.test('what a child gives in an answer that was fetched elsewhere is known as its own', { skip }, async t => {
  const { instances } = await clusterDoors(t, KEEPING, { instances: 3 })
  const first = await ask(instances[0]!, call(1, 'twice'))
  const second = await ask(instances[1]!, call(2, 'twice', first.result?.requestState))
  t.equal(second.result?.resultType, 'input_required', JSON.stringify(second.error))
  const third = await ask(instances[2]!, call(3, 'twice', second.result?.requestState))
  t.equal(third.result?.structuredContent?.state, second.result?.requestState)
  t.equal(children(instances[1]!) + children(instances[2]!), 0, 'no child is started to hand a request over')
})

t.test('a task is asked for, updated, watched and cancelled by way of any instance', { skip }, async t => {
  const { instances } = await clusterDoors(t, KEEPING)
  const [a, b] = instances as Two
  const { taskId } = (await ask(a, call(1, 'task'))).result!
  const { pid } = (await ask(a, rpc(2, 'tasks/get', { taskId }))).result!
  const there = await ask(b, rpc(2, 'tasks/get', { taskId }))
  t.match(there, { result: { taskId, status: 'working', pid: pid! } })
  t.same((await ask(b, rpc(3, 'tasks/update', { taskId, inputResponses: { x: 1 } }))).error, undefined)
  t.match(await ask(b, rpc(4, 'tasks/get', { taskId })), { result: { given: [{ x: 1 }] } })
  const listen = modern(rpc(5, 'subscriptions/listen', { notifications: { taskIds: [taskId] } }))
  const stream = await openSse(b.url, { body: listen, headers: modernHeaders(listen) })
  t.match(await stream.nextMessage(), { params: { notifications: { taskIds: [taskId] } } })
  t.equal(await stream.ended, 'end')
  t.same((await ask(b, rpc(6, 'tasks/cancel', { taskId }))).error, undefined)
  t.match(await ask(a, rpc(7, 'tasks/get', { taskId })), { result: { status: 'cancelled' } })
})

t.test('where nobody holds it, the own child answers', { skip }, async t => {
  const { instances } = await clusterDoors(t, KEEPING)
  const [a, b] = instances as Two
  const unknown = await ask(b, rpc(1, 'tasks/get', { taskId: 'no such' }))
  t.match(unknown, { error: { code: -32602, message: /knows no such task/ } })
  const { taskId } = (await ask(a, call(2, 'task'))).result!
  const state = (await ask(a, call(3, 'ask'))).result?.requestState
  await a.door.close()
  t.match(await ask(b, rpc(4, 'tasks/get', { taskId })), { error: { message: /knows no such task/ } })
  t.match(await ask(b, call(5, 'ask', state)), { error: { message: /knows no such state/ } })
})

t.test('what is wrong with a request is told as always, whoever is asked', { skip }, async t => {
  const { instances } = await clusterDoors(t, KEEPING)
  const [a, b] = instances as Two
  const state = (await ask(a, call(1, 'ask'))).result?.requestState
  const wrong = modern(call(2, 'ask', state))
  for (const { url } of [a, b]) {
    const answer = await rawPost(url, wrong, { ...modernHeaders(wrong), 'mcp-name': 'other' })
    t.equal(answer.status, 400)
    t.match(answer.json(), { error: { data: { code: 'header_mismatch' } } })
  }
  t.equal((await ask(b, call(3, 'ask', state))).result?.structuredContent?.state, state)
})

t.test('an instance hears of nothing but what its server gives: the rest costs Redis nothing', { skip }, async t => {
  const { instances, redis } = await clusterDoors(t, commandOf('keeping-stdio.ts', '--text', ' requestState taskId'))
  const [a, b] = instances as Two
  await Promise.all([ask(a, call(0, 'pid')), ask(b, call(0, 'pid'))])
  const commands = await watchRedis(t, redis.url)
  for (let n = 0; n < 20; n++) await ask(instances[n % 2]!, call(n, 'pid'))
  t.same(await commands(), [])
  const state = (await ask(a, call(1, 'ask'))).result?.requestState
  t.match(await commands(), [['set', /:held$/, String, /px/i, /^\d{6}$/]])
  await ask(a, call(2, 'ask', state))
  t.same(await commands(), [], 'what it holds itself an instance knows')
  const { taskId } = (await ask(a, call(3, 'task'))).result!
  t.match(await commands(), [['set', /:held$/, String, /px/i, /^3[56]\d{5}$/]])
  for (let n = 0; n < 5; n++) await ask(a, rpc(n, 'tasks/get', { taskId }))
  t.same(await commands(), [])
  await ask(b, rpc(4, 'tasks/get', { taskId }))
  const asked = (await commands()).filter(([, key]) => key?.endsWith(':held'))
  t.match(asked, [['get']])
  t.notOk(JSON.stringify(asked).includes(taskId!), 'its name tells nothing')
})

t.test('while Redis is away, answers come, and requests go to the own child', { skip }, async t => {
  const { instances, redis } = await clusterDoors(t, KEEPING)
  const [a, b] = instances as Two
  await Promise.all([ask(a, call(0, 'pid')), ask(b, call(0, 'pid'))])
  await redis.kill()
  const state = (await ask(a, call(1, 'ask'))).result?.requestState
  t.type(state, 'string')
  t.match(await ask(b, call(2, 'ask', state)), { error: { message: /knows no such state/ } })
  t.equal((await ask(a, call(3, 'ask', state))).result?.structuredContent?.state, state)
})

t.test('an answer waits until others know what it gives, but not for long', { skip }, async t => {
  const { instances, redis } = await clusterDoors(t, KEEPING)
  const [a, b] = instances as Two
  await Promise.all([ask(a, call(0, 'pid')), ask(b, call(0, 'pid'))])
  await using store = await openStore(redis.url)
  const timed = async (pause: number): Promise<[ms: number, state: string | undefined]> => {
    await store.client('PAUSE', pause, 'WRITE')
    const begun = performance.now()
    const state = (await ask(a, call(1, 'ask'))).result?.requestState
    return [performance.now() - begun, state]
  }
  const [waited, first] = await timed(150)
  t.ok(waited > 100, `${waited} ms`)
  // On a machine that is busy enough it may have come without.
  await until(async () => (await store.keys('*:held')).length === 1)
  t.equal((await ask(b, call(2, 'ask', first))).result?.structuredContent?.state, first)
  const [limited, second] = await timed(1_500)
  t.ok(limited > 200 && limited < 1_450, `${limited} ms`)
  await until(async () => (await store.keys('*:held')).length === 2)
  t.equal((await ask(b, call(3, 'ask', second))).result?.structuredContent?.state, second)
})

t.test('an interceptor that changes what is given: the client comes back with what it knows', { skip }, async t => {
  const wraps: Interceptor = {
    name: 'wraps',
    message(_, message, direction) {
      const [bare, wrapped] = ['"requestState":"', '"requestState":"w ']
      const [from, to] = direction === 'down' ? [bare, wrapped] : [wrapped, bare]
      return Message.parse(Buffer.from(message.bytes.toString().replace(from, to)))
    }
  }
  const { instances } = await clusterDoors(t, KEEPING, { interceptors: [wraps] })
  const [a, b] = instances as Two
  const state = (await ask(a, call(1, 'ask'))).result?.requestState
  t.match(state, /^w /)
  t.equal((await ask(b, call(2, 'ask', state))).result?.resultType, 'complete')
})

t.test('an instance that goes on under another name still has its child: it is found again', { skip }, async t => {
  const { instances, redis } = await clusterDoors(t, KEEPING)
  const [a, b] = instances as Two
  const state = (await ask(a, call(1, 'ask'))).result?.requestState
  await using store = await openStore(redis.url)
  const [held] = await store.keys('*:held')
  const former = (await store.get(held!))!
  await store.set(`catflap:1:@:{${former}}`, '-')
  await a.log.until(({ event }) => event === 'instance-lost')
  await until(async () => (await store.get(held!)) !== former)
  t.equal((await ask(b, call(2, 'ask', state))).result?.structuredContent?.state, state)
})

t.test(
  'a holder that cannot be reached is waited for until it is gone: then the own child answers',
  { skip },
  async t => {
    const { instances, redis } = await clusterDoors(t, KEEPING)
    const [a, b] = instances as Two
    const { taskId } = (await ask(a, call(1, 'task'))).result!
    await using store = await openStore(redis.url)
    const [held] = await store.keys('*:held')
    const nobody = 'AAAAAAAAAAAAAAAA'
    await store.set(held!, nobody)
    await store.set(`catflap:1:@:{${nobody}}`, 'token 127.0.0.1:1', 'PX', 1_500)
    const begun = performance.now()
    t.match(await ask(b, rpc(2, 'tasks/get', { taskId })), { error: { message: /knows no such task/ } })
    t.ok(performance.now() - begun > 1_000)
    t.match(await ask(a, rpc(3, 'tasks/get', { taskId })), { result: { taskId } })
    const state = (await ask(b, call(4, 'ask'))).result?.requestState
    t.equal((await ask(a, call(5, 'ask', state))).result?.structuredContent?.state, state)
  }
)

t.test('a request that comes back from a holder that is gone is judged like any other', { skip }, async t => {
  const { instances, redis } = await clusterDoors(t, KEEPING)
  const [a, b] = instances as Two
  const state = (await ask(a, call(1, 'ask'))).result?.requestState
  await using store = await openStore(redis.url)
  const [held] = await store.keys('*:held')
  await store.set(held!, 'AAAAAAAAAAAAAAAA')
  await store.set('catflap:1:@:{AAAAAAAAAAAAAAAA}', 'token 127.0.0.1:1', 'PX', 300)
  const wrong = modern(call(2, 'ask', state))
  const answer = await rawPost(b.url, wrong, { ...modernHeaders(wrong), 'mcp-name': 'other' })
  t.equal(answer.status, 400)
  t.match(answer.json(), { error: { data: { code: 'header_mismatch' } } })
})

t.test('many at once, by way of all instances: each goes on where it began', { skip }, async t => {
  const { instances } = await clusterDoors(t, KEEPING, { instances: 3 })
  const answers = await Promise.all(
    Array.from({ length: 60 }, async (_, n) => {
      const first = (await ask(instances[n % 3]!, call(7, 'twice'))).result?.requestState
      const second = (await ask(instances[(n + 1) % 3]!, call(7, 'twice', first))).result?.requestState
      return { second, last: await ask(instances[(n + 2) % 3]!, call(7, 'twice', second)) }
    })
  )
  for (const { second, last } of answers) t.equal(last.result?.structuredContent?.state, second)
  t.equal(
    instances.reduce((sum, one) => sum + children(one), 0),
    3
  )
})

t.test('routes of one command know nothing of each other', { skip }, async t => {
  trackLeaks(t)
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const route = { targets: KEEPING } as RouteOptions
  const shared = {
    sharedStore: { url: redis.url, keys: [Buffer.alloc(32, 7)] },
    cluster: { listen: {}, keys: ['a key that all instances of this test have'] }
  }
  const [a, b] = [
    await openReverse(t, { one: route, other: route }, shared),
    await openReverse(t, { one: route, other: route }, shared)
  ]
  const at = (proxy: Reverse, name: string): Pick<Instance, 'url'> => ({ url: proxy.urlOf(name) })
  const state = (await ask(at(a, 'one'), call(1, 'ask'))).result?.requestState
  t.match(await ask(at(b, 'other'), call(2, 'ask', state)), { error: { message: /knows no such state/ } })
  t.match(await ask(at(a, 'other'), call(3, 'ask', state)), { error: { message: /knows no such state/ } })
  t.equal((await ask(at(b, 'one'), call(4, 'ask', state))).result?.structuredContent?.state, state)
})

t.test('a session of the legacy era beside it stays what it is', { skip }, async t => {
  const { instances } = await clusterDoors(t, commandOf('stdio-server.ts', '--era', 'dual'))
  const [a, b] = instances as Two
  const { id, headers } = await pipeSession(a.url)
  t.type(id, 'string')
  t.match((await rawPost(b.url, toolCall(1, 'echo', { a: 1 }), headers)).text, /\\"a\\":1/)
})

t.test('the official client behind a balancer', { skip: skip || skipWithoutBalancer() }, async t => {
  const { instances } = await clusterDoors(t, KEEPING, { instances: 3 })
  const balancer = await startBalancer(instances.map(({ url }) => Number(new URL(url).port)))
  t.teardown(() => balancer.close())
  const c = await client(t, `${balancer.url}/mcp`, { era: 'modern' })
  for (let n = 0; n < 6; n++) t.match(await callTool(c, n % 2 === 0 ? 'ask' : 'twice'), /"state":/)
  t.ok(instances.every(instance => instance.door.stats.sessions === 0))
})

async function openStore(url: string): Promise<Redis & AsyncDisposable> {
  const store = new Redis(url)
  return Object.assign(store, { [Symbol.asyncDispose]: async () => void (await store.quit()) })
}

/** Asks again and again; each time is a way to Redis and back. */
async function until(holds: () => Promise<boolean>): Promise<void> {
  for (const end = performance.now() + 10_000; !(await holds()); )
    if (performance.now() > end) throw new Error('it does not come true')
}

/** What clients of this Redis ask from now on, without the leases; each time what has come since the last. */
async function watchRedis(t: Test, url: string): Promise<() => Promise<string[][]>> {
  const redis = new Redis(url)
  const monitor = await redis.monitor()
  t.teardown(() => {
    monitor.disconnect()
    redis.disconnect()
  })
  const seen: string[][] = []
  let marks = 0
  let marked = (): void => {}
  monitor.on('monitor', (_time, args: string[], source: string) => {
    if (args[0]?.toLowerCase() === 'echo') return marked()
    // Leases are renewed by scripts.
    if (source !== 'lua' && !/^(evalsha|eval|info|ping|client|auth|select)$/i.test(args[0] ?? '')) seen.push(args)
  })
  return async () => {
    const mark = new Promise<void>(resolve => (marked = resolve))
    await redis.echo(`mark ${++marks}`)
    await mark
    return seen.splice(0)
  }
}
