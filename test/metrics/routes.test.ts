/** The numbers of several routes in one exposition. */
import { spawnSync } from 'node:child_process'
import t from 'tap'
import { MAX_SERIES } from '../../src/metrics/cells.ts'
import { RoutesMetrics } from '../../src/metrics/routes-metrics.ts'
import type { MemberHealth } from '../../src/proxy/core.ts'
import { openStage, type RouteParts, withHealth } from '../admin/stage.ts'
import { startHttpServer } from '../fixtures/servers/http-server.ts'
import { startRawHttp } from '../fixtures/servers/raw-http.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { openSse, rawPost } from '../helpers/raw-client.ts'
import { skipWithout } from '../helpers/require.ts'
import { legacyHeaders, rpc, toolCall } from '../helpers/rpc.ts'
import { rawSession } from '../integration/http-door.ts'
import { Scrape } from './scrape.ts'

const WIRES = { down: 'http', up: 'http' } as const
const COUNT = 'mcp_server_operation_duration_seconds_count'

function open(t: import('tap').Test): RoutesMetrics {
  trackLeaks(t)
  const metrics = new RoutesMetrics()
  t.teardown(() => metrics.close())
  return metrics
}

const scrapeOf = (metrics: RoutesMetrics): Scrape => new Scrape([...metrics.text()].join(''))

/** No series may stand there twice. */
function noneTwice(t: import('tap').Test, { samples }: Scrape): void {
  const keys = samples.map(({ name, labels }) => JSON.stringify([name, Object.entries(labels).toSorted()]))
  t.same(
    keys.filter((key, i) => keys.indexOf(key) !== i),
    []
  )
}

t.test('what belongs to a route says which; what belongs to the process is there once', async t => {
  const metrics = open(t)
  const server = await startHttpServer()
  t.teardown(() => server.close())
  const route = (name: string): RouteParts => ({
    target: { url: server.url },
    metrics: metrics.route({ name, wires: WIRES, among: 2 })
  })
  const stage = await openStage(t, { one: route('one'), two: route('two') })
  metrics.process.listener(stage.server)
  const id = await rawSession(stage.url('one'))
  const stream = await openSse(stage.url('one'), { headers: { ...legacyHeaders(id), accept: 'text/event-stream' } })
  for (let i = 0; i < 3; i++) await rawPost(stage.url('one'), toolCall(i, 'echo'), legacyHeaders(id))
  await rawSession(stage.url('two'))
  await rawPost(stage.url('two'), rpc(1, 'ping'), { host: 'evil.example' })
  const scrape = scrapeOf(metrics)
  noneTwice(t, scrape)
  t.equal(scrape.sum(COUNT, { catflap_route: 'one', gen_ai_tool_name: 'echo' }), 3)
  t.equal(scrape.sum(COUNT, { catflap_route: 'two', gen_ai_tool_name: 'echo' }), 0)
  for (const name of ['one', 'two']) t.equal(scrape.sum('catflap_sessions', { catflap_route: name }), 1, name)
  t.equal(scrape.sum('catflap_streams', { catflap_route: 'one', catflap_stream_kind: 'listen' }), 1)
  t.equal(scrape.sum('catflap_streams', { catflap_stream_kind: 'answer' }), 0)
  t.equal(scrape.sum('catflap_refusals_total', { catflap_route: 'two', error_type: 'forbidden_host' }), 1)
  t.ok(scrape.all('catflap_exchanges_total').every(s => s.labels.catflap_route !== undefined))
  t.ok(scrape.all('catflap_store_operations_total').every(s => s.labels.catflap_route !== undefined))
  for (const name of ['catflap_connections', 'process_memory_usage_bytes', 'nodejs_eventloop_delay_max_seconds'])
    t.same(
      scrape.all(name).map(s => s.labels),
      [{}],
      name
    )
  t.equal(scrape.all('target_info').length, 1)
  t.notOk(
    scrape.samples.some(s => 'server_address' in s.labels),
    'a route may lead to several servers'
  )
  stream.close()
})

t.test('over generations of a route counters go on and gauges are added up; a route that is gone is gone', async t => {
  const metrics = open(t)
  const server = await startRawHttp()
  t.teardown(() => server.close())
  const part = (): RouteParts => ({ target: { url: server.url } })
  const stage = await openStage(t, { old: part(), next: part(), other: part() })
  const [old, next, other] = ['old', 'next', 'other'].map(name => stage.cores.get(name)!)
  const record = (frames: number) =>
    ({
      stats: { frames, bytes: 10 * frames, drops: 0, queued: 1 }
    }) as unknown as import('../../src/tape/recorder.ts').TapeRecorder
  const route = metrics.route({ name: 'a', wires: WIRES, among: 1 })
  const stopOld = route.watch({ core: old!, recorder: record(5) })
  route.refused('not_found')
  t.equal(metrics.route({ name: 'a', wires: WIRES, among: 2 }), route, 'shared by generations')
  const stopNext = route.watch({ core: next!, recorder: record(2) })
  const frames = () => scrapeOf(metrics).sum('catflap_tape_frames_total', { catflap_route: 'a' })
  const queue = () => scrapeOf(metrics).sum('catflap_tape_queue', { catflap_route: 'a' })
  noneTwice(t, scrapeOf(metrics))
  t.same([frames(), queue()], [7, 2])
  stopOld()
  stopOld()
  t.same([frames(), queue()], [7, 1], 'what was counted stays counted')
  t.equal(scrapeOf(metrics).sum('catflap_refusals_total', { catflap_route: 'a' }), 1)
  const piped = metrics.route({ name: 'a', wires: { down: 'http', up: 'pipe' }, among: 2 })
  t.not(piped, route, 'another kind of target begins anew')
  stopNext()
  t.equal(scrapeOf(metrics).all('catflap_refusals_total').length, 0)
  const again = metrics.route({ name: 'a', wires: WIRES, among: 2 })
  t.equal(again, route, 'between two configurations it may be nobody’s for a moment')
  const stopOther = metrics.route({ name: 'b', wires: WIRES, among: 2 }).watch({ core: other!, recorder: undefined })
  t.not(metrics.route({ name: 'a', wires: WIRES, among: 2 }), route, 'after that it is forgotten')
  stopOther()
})

t.test('targets: which are up, and how often one was left out', async t => {
  const metrics = open(t)
  const server = await startRawHttp()
  t.teardown(() => server.close())
  const route = metrics.route({ name: 'one', wires: WIRES, among: 1 })
  const stage = await openStage(t, { one: { target: { url: server.url }, metrics: route } })
  t.equal(scrapeOf(metrics).all('catflap_target_up').length, 0, 'nobody watches')
  const health: MemberHealth[] = [
    { member: 'http://a/', label: 'a', state: 'up', inFlight: 0 },
    { member: 'http://b/', label: 'b', state: 'ejected', inFlight: 0 }
  ]
  withHealth(stage.cores.get('one')!, () => health)
  route.ejected('http://b/')
  route.ejected('http://b/')
  route.reinitialized('kept')
  const scrape = scrapeOf(metrics)
  const up = (target: string) => scrape.sum('catflap_target_up', { catflap_route: 'one', catflap_target: target })
  t.same([up('http://a/'), up('http://b/')], [1, 0])
  t.equal(scrape.sum('catflap_target_ejections_total', { catflap_target: 'http://b/' }), 2)
  t.equal(scrape.sum('catflap_session_reinitializations_total', { catflap_session_outcome: 'kept' }), 1)
})

t.test('a route that clients fill with names takes no room from others', async t => {
  const metrics = open(t)
  const server = await startRawHttp()
  t.teardown(() => server.close())
  const route = (name: string): RouteParts => ({
    target: { url: server.url },
    metrics: metrics.route({ name, wires: WIRES, among: 4 })
  })
  const stage = await openStage(t, { one: route('one'), two: route('two') })
  for (let i = 0; i < 300; i++) await rawPost(stage.url('one'), rpc(1, `made/up/${i}`))
  await rawPost(stage.url('two'), toolCall(1, 'echo'))
  const scrape = scrapeOf(metrics)
  t.ok(scrape.all(COUNT, { catflap_route: 'one' }).length <= MAX_SERIES / 4)
  t.equal(scrape.sum(COUNT, { catflap_route: 'one' }), 300)
  t.equal(scrape.sum(COUNT, { catflap_route: 'two', gen_ai_tool_name: 'echo' }), 1)
})

t.test('the share of a route is kept, and what is beyond it says whose it is', async t => {
  const { Numbers } = await import('../../src/metrics/numbers.ts')
  const numbers = new Numbers({
    maxNames: 100,
    server: {},
    wires: WIRES,
    room: { attributes: { 'catflap.route': 'one' }, max: 5 }
  })
  for (let i = 0; i < 20; i++) numbers.ejected(`t${i}`)
  const { cells } = numbers.series.find(s => s.name === 'catflap.target.ejections')!
  t.equal(cells.length, 5)
  t.same(cells.at(-1)!.attributes, { 'otel.metric.overflow': 'true', 'catflap.route': 'one' })
})

t.test('listeners come and go; what they have counted stays', async t => {
  const metrics = open(t)
  const listener = {
    connections: 2,
    streams: 1,
    traffic: { read: 100, written: 200 },
    refusals: { bad_http: 3, too_many_connections: 0 }
  }
  metrics.process.listener(listener)
  metrics.process.listener({ ...listener })
  const sums = () => {
    const scrape = scrapeOf(metrics)
    const refused = scrape.sum('catflap_refusals_total', { error_type: 'bad_http' })
    return [scrape.sum('catflap_connections'), scrape.sum('catflap_downstream_io_bytes_total'), refused]
  }
  t.same(sums(), [4, 600, 6])
  metrics.process.listenerGone(listener)
  t.same(sums(), [2, 600, 6])
  t.same(
    scrapeOf(metrics)
      .all('catflap_refusals_total')
      .map(s => s.labels),
    [{ error_type: 'bad_http' }]
  )
})

t.test("Prometheus's own tool finds nothing to say about it", { skip: skipWithout('promtool') }, async t => {
  const metrics = open(t)
  const server = await startRawHttp()
  t.teardown(() => server.close())
  const route = (name: string): RouteParts => ({
    target: { url: server.url },
    metrics: metrics.route({ name, wires: WIRES, among: 2 })
  })
  const stage = await openStage(t, { one: route('one'), two: route('two') })
  metrics.process.listener(stage.server)
  metrics.process.accessLog({ drops: 1 })
  for (const name of ['one', 'two']) {
    withHealth(stage.cores.get(name)!, () => [{ member: 'http://a/', label: 'a', state: 'up', inFlight: 0 }])
    await rawPost(stage.url(name), toolCall(1, 'echo'))
    await rawPost(stage.url(name), '{')
  }
  const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], {
    input: [...metrics.text()].join(''),
    encoding: 'utf8'
  })
  t.same([status, stdout + stderr], [0, ''])
})
