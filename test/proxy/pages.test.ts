/** What is told of pages: each once, with how it ended. */
import t, { type Test } from 'tap'
import { Gate } from '../../src/proxy/gate.ts'
import { settings } from '../../src/proxy/options.ts'
import { type PageFacts, Pages } from '../../src/proxy/pages.ts'
import { Passthrough } from '../../src/proxy/passthrough.ts'
import { HttpServer } from '../../src/transport/downstream/http-server.ts'
import { type RawHttpServer, type Script, startRawHttp } from '../fixtures/servers/raw-http.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { rawRequest } from '../helpers/raw-client.ts'
import { Inbox } from '../helpers/wait.ts'
import { asking, dial } from './passthrough-door.ts'

interface Watched {
  readonly server: RawHttpServer
  readonly port: number
  readonly facts: Inbox<PageFacts>
}

async function watched(t: Test, script: Script, tokens: readonly string[] = []): Promise<Watched> {
  trackLeaks(t)
  const server = await startRawHttp(script)
  t.teardown(() => server.close())
  const passthrough = new Passthrough({
    route: '/a/mcp',
    targets: [{ url: new URL(server.url) }],
    paths: ['/everything/*'],
    via: undefined,
    settings: settings()
  })
  const facts = new Inbox<PageFacts>('facts')
  const pages = new Pages(passthrough, {
    host: '127.0.0.1',
    allowHosts: ['front.test'],
    allowOrigins: ['*'],
    tokens,
    gate: new Gate({ certified: false }, tokens.length > 0),
    observe: told => facts.push(told)
  })
  const front = new HttpServer({ ...settings(), host: '127.0.0.1', port: 0 }, (req, reply) => pages.web(req, reply), {
    wants: req => pages.wants(req),
    take: (req, socket, head) => pages.upgrade(req, socket, head)
  })
  const { port } = await front.listen()
  t.teardown(async () => {
    await passthrough.close()
    await front.close()
  })
  return { server, port, facts }
}

t.test('answers, errors and clients that leave', async t => {
  const { server, port, facts } = await watched(t, x => x.respond(204, 'text/plain', ''))
  const url = `http://127.0.0.1:${port}/everything`
  await rawRequest(`${url}/a?secret=1`, { method: 'DELETE', headers: [] })
  t.match(await facts.next(), {
    method: 'DELETE',
    path: '/everything/a',
    status: 204,
    result: 'answered',
    code: undefined
  })
  server.next(x => x.reset())
  await rawRequest(`${url}/b`, { method: 'GET', headers: [] })
  t.match(await facts.next(), { path: '/everything/b', status: 502, result: 'failed', code: 'upstream_reset' })
  server.next(() => {})
  const line = await dial(t, port, 'GET /everything/c HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await server.exchange(3)
  line.socket.destroy()
  const gone = await facts.next()
  t.match(gone, { path: '/everything/c', status: undefined, result: 'gone' })
  t.ok(gone.duration >= 0)
  t.equal(facts.items.length, 3)
})

t.test('WebSockets, when they are over', async t => {
  const { server, port, facts } = await watched(t, () => {})
  server.next(
    x => void x.raw('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhi')
  )
  const line = await dial(t, port, asking())
  await line.until(/hi$/)
  t.equal(facts.items.length, 0)
  line.socket.destroy()
  t.match(await facts.next(), { method: 'GET', path: '/everything/chat', status: 101, result: 'answered' })
})

t.test('who was not let in', async t => {
  const { port, facts } = await watched(t, () => {}, ['s3cret'])
  await rawRequest(`http://127.0.0.1:${port}/everything/a`, { method: 'GET', headers: [] })
  t.match(await facts.next(), { path: '/everything/a', status: 401, result: 'refused', code: 'unauthorized' })
  const line = await dial(t, port, asking())
  await line.closed
  t.match(await facts.next(), { path: '/everything/chat', status: 401, result: 'refused', code: 'unauthorized' })
})
