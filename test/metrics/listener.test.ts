/** Where metrics are served, and who may read them. */
import { request } from 'node:http'
import { connect, createServer } from 'node:net'
import t from 'tap'
import { createForward } from '../../src/index.ts'
import { MetricsListener } from '../../src/metrics/listener.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { rawPost, rawRequest } from '../helpers/raw-client.ts'
import { rpc } from '../helpers/rpc.ts'
import { rawDoor } from '../integration/http-door.ts'
import { stdioDoor } from '../integration/pipe-door.ts'
import { Scrape } from './scrape.ts'

const ANY = { metrics: { port: 0 } } as const
const scrape = (url: string, headers: Record<string, string> = {}, method = 'GET') =>
  rawRequest(url, { method, headers })

t.test('apart from what is proxied, as Prometheus text', async t => {
  const { door, url } = await rawDoor(t, undefined, ANY)
  t.match(door.metricsUrl, /^http:\/\/127\.0\.0\.1:\d+\/metrics$/)
  await rawPost(url, rpc(1, 'ping'))
  const answer = await scrape(door.metricsUrl!)
  t.match([answer.status, answer.headers['content-type']], [200, 'text/plain; version=0.0.4; charset=utf-8'])
  const text = new Scrape(answer.text)
  t.equal(text.sum('mcp_server_operation_duration_seconds_count', { mcp_method_name: 'ping' }), 1)
  t.match(text.all('target_info'), [{ labels: { service_name: 'catflap' }, value: 1 }])
  t.equal(text.sum('catflap_connections'), 0, 'scrapes are no clients')
  const head = await scrape(door.metricsUrl!, {}, 'HEAD')
  t.match([head.status, head.text], [200, ''])
  t.equal((await scrape(url.replace('/mcp', '/metrics'))).status, 404, 'not where clients connect')
})

t.test('nothing else is there', async t => {
  const { door, url } = await rawDoor(t, undefined, ANY)
  const at = (path: string) => new URL(path, door.metricsUrl)
  for (const path of ['/', '/mcp', '/metrics/', '/sse']) {
    const { status, text } = await scrape(String(at(path)))
    t.match([status, text], [404, /metrics are at \/metrics/], path)
  }
  t.equal((await scrape(String(at('/metrics?x=1')))).status, 200)
  const post = await rawPost(door.metricsUrl!, rpc(1, 'ping'))
  t.match([post.status, post.headers.allow], [405, 'GET, HEAD'])
  t.equal((await rawPost(url, rpc(1, 'ping'))).status, 200)
})

t.test('pages of the web do not get at them', async t => {
  const { door } = await rawDoor(t, undefined, { metrics: { port: 0 }, allowHosts: ['proxy.example'] })
  const url = door.metricsUrl!
  t.match((await scrape(url, { host: 'evil.example' })).json(), { error: { data: { code: 'forbidden_host' } } })
  t.equal((await scrape(url, { origin: 'https://evil.example' })).status, 403)
  t.equal((await scrape(url, { host: 'proxy.example:1234' })).status, 200)
  t.equal((await scrape(url, { host: 'localhost' })).status, 200)
})

t.test('where clients need a token, a scrape needs it too, as Bearer', async t => {
  const { door } = await rawDoor(t, undefined, { metrics: { port: 0, host: '0.0.0.0' }, tokens: ['one', 'two'] })
  const url = door.metricsUrl!
  t.match(url, /^http:\/\/127\.0\.0\.1:/)
  for (const headers of [{}, { authorization: 'Bearer three' }, { authorization: 'one' }, { 'catflap-token': 'one' }]) {
    const answer = await scrape(url, headers as Record<string, string>)
    t.equal(answer.status, 401, JSON.stringify(headers))
    t.match(answer.headers['www-authenticate'], 'Bearer')
    t.notMatch(answer.text, 'mcp_')
  }
  for (const token of ['one', 'two'])
    t.equal((await scrape(url, { authorization: `Bearer ${token}` })).status, 200, token)
})

t.test('options that make no sense are refused before anything is opened', async t => {
  trackLeaks(t)
  const target = { url: 'http://127.0.0.1:9/mcp' }
  for (const [metrics, message] of [
    [{ port: 0, host: '0.0.0.0' }, /metrics: '0\.0\.0\.0' can be reached from other machines/],
    [{ port: 70_000 }, /metrics\.port: 70000 is not allowed/],
    [{ port: 0, maxNames: 2000 }, /metrics\.maxNames: 2000 is not allowed/]
  ] as const)
    await t.rejects(createForward({ target, metrics }), { name: 'TypeError', message })
  const open = await createForward({ target, metrics: { port: 0, host: '0.0.0.0' }, allowUnauthenticated: true })
  await open.close()
  await t.rejects(createForward({ target, metrics: { port: 0, host: '192.0.2.1' }, allowUnauthenticated: true }), {
    code: 'EADDRNOTAVAIL'
  })
})

t.test('a port that is taken fails the start, and leaves nothing behind', async t => {
  trackLeaks(t)
  const taken = createServer().listen(0, '127.0.0.1')
  await new Promise(resolve => taken.once('listening', resolve))
  const { port } = taken.address() as { port: number }
  const target = { url: 'http://127.0.0.1:9/mcp' }
  await t.rejects(createForward({ target, metrics: { port } }), { code: 'EADDRINUSE' })
  await t.rejects(createForward({ target, metrics: { port: 0 }, listen: { port } }), { code: 'EADDRINUSE' })
  await new Promise(resolve => taken.close(resolve))
})

t.test('it closes with the proxy, whoever is still connected; the last numbers can still be read', async t => {
  const { door, url } = await rawDoor(t, undefined, ANY)
  await rawPost(url, rpc(1, 'ping'))
  const half = request(door.metricsUrl!, { method: 'POST', agent: false, headers: { 'content-length': 10 } })
  half.on('error', () => {})
  half.flushHeaders()
  const closed = new Promise(resolve => half.once('close', resolve))
  await new Promise(resolve => half.once('response', res => res.resume().once('end', resolve)))
  await door.close()
  await closed
  await t.rejects(scrape(door.metricsUrl!))
  t.match(door.exportMetrics(), /mcp_method_name="ping"/)
})

t.test('without a port there is only exportMetrics(); without metrics there is none', async t => {
  const { door } = await rawDoor(t, undefined, { metrics: true })
  t.equal(door.metricsUrl, undefined)
  t.match(door.exportMetrics(), /^# HELP/)
  const off = await createForward({ target: { url: door.url! } })
  t.throws(() => off.exportMetrics(), { message: /metrics: true/ })
  await off.close()
})

t.test('a proxy on stdio serves them over HTTP all the same', async t => {
  const { door } = await stdioDoor(t, 'raw-stdio.ts', ANY)
  t.match((await scrape(door.metricsUrl!)).text, /catflap_children 1/)
})

t.test('a long scrape lets the traffic pass, and who asks meanwhile gets the same one', async t => {
  trackLeaks(t)
  const seen: string[] = []
  let scrapes = 0
  function* text(): Generator<string> {
    scrapes++
    for (const part of ['a', 'b', 'c']) {
      seen.push(part)
      setImmediate(() => seen.push('others'))
      yield part
    }
  }
  const listener = new MetricsListener({ host: '127.0.0.1', port: 0, allowHosts: [], tokens: [] }, text)
  const url = await listener.listen()
  t.teardown(() => listener.close())
  t.equal((await scrape(url)).text, 'abc')
  t.same(seen, ['a', 'others', 'b', 'others', 'c', 'others'])
  scrapes = 0
  const both = await Promise.all([pipelined(url), pipelined(url)])
  t.same(
    both.map(text => text.split('abc').length - 1),
    [20, 20]
  )
  t.ok(scrapes < 40, `${scrapes} scrapes answered 40 requests`)
})

/** Twenty scrapes at once on one connection. */
function pipelined(url: string): Promise<string> {
  const { hostname, port, pathname } = new URL(url)
  const one = (last: boolean) =>
    `GET ${pathname} HTTP/1.1\r\nHost: ${hostname}:${port}\r\n${last ? 'Connection: close\r\n' : ''}\r\n`
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname).setEncoding('latin1')
    let all = ''
    socket.on('data', text => {
      all += text
    })
    socket.once('close', () => resolve(all)).once('error', reject)
    socket.write(one(false).repeat(19) + one(true))
  })
}
