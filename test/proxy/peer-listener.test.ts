/** What an instance does for others, and for nobody else. */
import { request } from 'node:https'
import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import fc from 'fast-check'
import t from 'tap'
import { CatflapError } from '../../src/errors.ts'
import {
  decoded,
  encodePrincipal,
  peerPath,
  readPeerPath,
  withoutPeerHeaders
} from '../../src/protocol/peer-headers.ts'
import type { Interceptor } from '../../src/proxy/interceptor.ts'
import { clusterKeys, pskClientOptions } from '../../src/transport/psk.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { rawPost } from '../helpers/raw-client.ts'
import { initialize, legacyHeaders, notification } from '../helpers/rpc.ts'
import { Inbox, within } from '../helpers/wait.ts'
import { ask, KEY, OTHER_KEY, OWNER, type Owner, order, owner, peers, session, to } from './peer-stage.ts'

interface Answer {
  readonly status: number
  readonly headers: Record<string, unknown>
  readonly text: string
}

interface Sent {
  readonly path?: string
  readonly method?: string
  readonly headers?: Record<string, string | undefined>
  readonly body?: object | string
}

/** A request as an instance makes it, but for what the test has in its place; undefined: without. */
async function raw(there: Owner, sessionId: string, { path = '/1/main', method, headers = {}, body }: Sent) {
  const given: Record<string, string | undefined> = {
    ...legacyHeaders(sessionId),
    'catflap-instance': OWNER,
    'catflap-principal': 'anonymous',
    ...headers
  }
  const kept = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
  const [host, port] = there.address.split(':')
  const req = request({
    host,
    port,
    path,
    method: method ?? (body === undefined ? 'GET' : 'POST'),
    headers: kept as Record<string, string>,
    agent: false,
    ...pskClientOptions(clusterKeys([KEY]))
  })
  const answer = new Promise<Answer>((resolve, reject) => {
    req.once('error', reject)
    req.once('response', res => {
      let text = ''
      res.setEncoding('utf8').on('data', (chunk: string) => void (text += chunk))
      res.once('end', () => resolve({ status: res.statusCode ?? 0, headers: res.headers, text }))
    })
  })
  req.end(typeof body === 'object' ? JSON.stringify(body) : body)
  return await within(answer, { what: 'an answer' })
}

function codeOf({ text }: { readonly text: string }): string {
  return (JSON.parse(text) as { error: { data: { code: string } } }).error.data.code
}

t.test('paths and principals arrive as they were', async t => {
  fc.assert(
    fc.property(fc.string({ minLength: 1, unit: 'grapheme' }), fc.string(), (name, query) => {
      const read = readPeerPath(peerPath(name) + (query === '' ? '' : `?${query}`))
      const same = decoded(encodePrincipal(name)) === name && /^[!-~]*$/.test(encodePrincipal(name))
      return same && read?.route === name && read.query === (query === '' ? undefined : `?${query}`)
    })
  )
  for (const path of ['/', '/1', '/1/', '/2/main', '/1/main/more', '/1/%', '/1/?a', 'https://x/1/main', ''])
    t.equal(readPeerPath(path), undefined, path)
  t.equal(decoded('%'), undefined)
  t.equal(decoded(undefined), undefined)
  t.equal(encodePrincipal('\ud800'), encodePrincipal('\ufffd'), 'what is no text is another one, and no error')
})

t.test('of headers, only those of instances are lost', async t => {
  const name = fc.oneof(fc.constantFrom('Catflap-From', 'catflap-x', 'CATFLAP-', 'Mcp-Session-Id', 'X-A'), fc.string())
  fc.assert(
    fc.property(fc.array(fc.tuple(name, fc.string())), fc.boolean(), (pairs, keep) => {
      const kept = withoutPeerHeaders(pairs.flat(), keep)
      const expected = pairs.filter(([n]) => {
        const lower = n.toLowerCase()
        return !/^catflap-./s.test(lower) && (keep || lower !== 'mcp-session-id')
      })
      return JSON.stringify(kept) === JSON.stringify(expected.flat())
    })
  )
  t.pass()
})

t.test('what is no exchange of a session of its own is refused', async t => {
  trackLeaks(t)
  const there = await owner(t, { settings: { maxBody: 10_000 } })
  const id = await session(there.url)
  const body = order(1)
  const cases: [Sent, number, string][] = [
    [{ body, path: '/mcp' }, 404, 'not_found'],
    [{ body, path: '/1/other' }, 404, 'not_found'],
    [{ body, path: '/1/main/' }, 404, 'not_found'],
    [{ body, headers: { 'mcp-session-id': undefined } }, 400, 'session_required'],
    [{ body, headers: { 'catflap-principal': undefined } }, 400, 'invalid_request'],
    [{ body, headers: { 'catflap-principal': '%' } }, 400, 'invalid_request'],
    [{ body, headers: { 'catflap-principal': 'somebody' } }, 404, 'session_not_found'],
    [{ body, headers: { 'mcp-session-id': 'unknown' } }, 404, 'session_not_found'],
    [{ body, headers: { 'catflap-instance': undefined } }, 421, 'session_moved'],
    [{ body, headers: { 'catflap-instance': 'owner-2' } }, 421, 'session_moved'],
    [{ body: initialize(1) }, 400, 'initialize_in_session'],
    [{ body: '{' }, 400, 'parse_error'],
    [{ body: order(1, { text: 'x'.repeat(10_000) }) }, 413, 'body_too_large'],
    [{ body, headers: { accept: 'text/plain' } }, 406, 'not_acceptable'],
    [{ method: 'PUT', body }, 405, 'method_not_allowed'],
    [{ body, headers: { 'mcp-protocol-version': '1999-01-01' } }, 400, 'unsupported_version']
  ]
  for (const [sent, status, code] of cases) {
    const answer = await raw(there, id, sent)
    t.equal(answer.status, status, JSON.stringify(sent).slice(0, 100))
    t.equal(codeOf(answer), code)
    t.equal(answer.headers['catflap-unprocessed'], code === 'session_moved' ? '1' : undefined)
    t.notMatch(answer.text, new RegExp(id))
  }
  t.strictSame(
    there.log.seen.filter(line => !line.includes('initialize')),
    []
  )
  t.equal((await raw(there, id, { body })).status, 200)
})

t.test('Host and Origin are of no account among instances, and Via is not added', async t => {
  trackLeaks(t)
  const there = await owner(t)
  const headers = { host: 'somewhere.example', origin: 'https://elsewhere.example' }
  const answer = await raw(there, await session(there.url), { body: order(1), headers })
  t.equal(answer.status, 200)
  t.equal(answer.headers.via, undefined)
})

t.test('the exchange is of the principal and the address that the other instance names', async t => {
  trackLeaks(t)
  const seen = new Inbox<{ principal: string; address: string | undefined; query: string | undefined }>('exchanges')
  const rename: Interceptor = {
    name: 'rename',
    admit: x => {
      x.principal = 'jürgen @ home'
      return undefined
    },
    request: x => void seen.push({ principal: x.principal, address: x.client?.remoteAddress, query: x.query })
  }
  const there = await owner(t, { interceptors: [rename] })
  const id = await session(there.url)
  const here = peers(t)
  const foreign = ask(here, there.address, to(id), { body: order(1) })
  t.equal((await foreign.head).status, 404)
  await foreign.over
  const own = to(id, { principal: 'jürgen @ home', remoteAddress: '2001:db8::7' })
  const call = ask(here, there.address, own, { body: order(2), query: '?a=b' })
  t.equal((await call.head).status, 200)
  await call.over
  t.strictSame(seen.items.at(-1), { principal: 'jürgen @ home', address: '2001:db8::7', query: '?a=b' })
  const odd = await raw(there, id, {
    body: order(3),
    headers: { 'catflap-principal': encodePrincipal('jürgen @ home'), 'catflap-client': 'no address' }
  })
  t.equal(odd.status, 200)
  t.equal(seen.items.at(-1)?.address, '127.0.0.1')
})

t.test('whether it may act is asked when all of a request is there', async t => {
  trackLeaks(t)
  const asked: string[] = []
  const moved = new CatflapError('session_moved')
  let verdict: () => true | CatflapError | Promise<true | CatflapError> = () => true
  const there = await owner(t, {
    before: (id, principal) => {
      asked.push(`${id} ${principal}`)
      return verdict()
    }
  })
  const id = await session(there.url)
  const here = peers(t)
  const call = () => ask(here, there.address, to(id), { body: order(1) })
  t.equal(await call().outcome(), 'end')
  verdict = () => Promise.resolve<true>(true)
  t.equal(await call().outcome(), 'end')
  const ran = there.log.seen.length
  verdict = () => moved
  t.equal(await call().outcome(), 'session_moved')
  verdict = async () => moved
  t.equal(await call().outcome(), 'session_moved')
  verdict = () => new CatflapError('store_unavailable')
  const unsure = call()
  t.match(await unsure.head, { status: 503 })
  await unsure.over
  t.equal(codeOf(unsure), 'store_unavailable')
  verdict = async () => {
    throw new Error('with a secret')
  }
  const failed = call()
  t.match(await failed.head, { status: 500 })
  await failed.over
  t.notMatch(failed.text, /secret/)
  t.equal(there.log.seen.length, ran, 'nothing was done')
  t.strictSame(new Set(asked), new Set([`${id} anonymous`]))
  t.equal(there.core.inFlight.size, 0)
})

t.test('an instance that gets another name meanwhile does nothing under the old one', async t => {
  trackLeaks(t)
  let name = OWNER
  const there = await owner(t, {
    instance: () => name,
    before: () => {
      name = 'owner-2'
      return Promise.resolve<true>(true)
    }
  })
  const id = await session(there.url)
  const before = there.log.seen.length
  const call = ask(peers(t), there.address, to(id), { body: order(1) })
  t.equal(await call.outcome(), 'session_moved')
  t.equal(there.log.seen.length, before)
})

t.test('who leaves while that is asked is not served', async t => {
  trackLeaks(t)
  const asked = Promise.withResolvers<void>()
  const verdict = Promise.withResolvers<true>()
  const there = await owner(t, {
    before: () => {
      asked.resolve()
      return verdict.promise
    }
  })
  const id = await session(there.url)
  const before = there.log.seen.length
  const ended = there.outcomes.items.length
  const here = peers(t)
  const call = ask(here, there.address, to(id), { body: order(1) })
  await asked.promise
  call.call?.cancel('client-gone')
  while (there.core.inFlight.size > 0) await new Promise(resolve => setImmediate(resolve))
  verdict.resolve(true)
  t.equal(await ask(here, there.address, to(id), { body: order(2) }).outcome(), 'end')
  t.equal(there.log.seen.length - before, 1)
  t.match(there.outcomes.items[ended], { result: 'gone' })
})

t.test('nobody else is served, and nothing is left of those who try', async t => {
  trackLeaks(t)
  const there = await owner(t)
  const [host, port] = there.address.split(':') as [string, string]
  const id = await session(there.url)
  const closed = (socket: Socket): Promise<string> => {
    let heard = ''
    socket.on('error', () => {})
    socket.on('data', data => void (heard += data.toString('latin1')))
    return within(new Promise(resolve => socket.once('close', () => resolve(heard))))
  }
  const plain = connectTcp(Number(port), host)
  plain.write(`POST /1/main HTTP/1.1\r\nHost: x\r\nCatflap-Instance: ${OWNER}\r\nMcp-Session-Id: ${id}\r\n\r\n`)
  t.notMatch(await closed(plain), /HTTP/)
  const noise = connectTcp(Number(port), host)
  noise.write(Buffer.alloc(2_000, 0x16))
  await closed(noise)
  const usual = connectTls({ host, port: Number(port), rejectUnauthorized: false })
  await closed(usual)
  const foreign = connectTls({ host, port: Number(port), ...pskClientOptions(clusterKeys([OTHER_KEY])) })
  await closed(foreign)
  const leaving = connectTcp(Number(port), host)
  leaving.once('connect', () => leaving.destroy())
  await closed(leaving)
  while (there.listener.strangers < 4 || there.listener.connections > 0)
    await new Promise(resolve => setImmediate(resolve))
  t.equal(await ask(peers(t), there.address, to(id), { body: order(1) }).outcome(), 'end')
})

t.test('during a rotation of keys, instances with either find each other', async t => {
  trackLeaks(t)
  const both = await owner(t, { keys: [OTHER_KEY, KEY] })
  const whom = to(await session(both.url))
  for (const key of [KEY, OTHER_KEY])
    t.equal(await ask(peers(t, { key }), both.address, whom, { body: order(1) }).outcome(), 'end')
})

t.test('it stops: no new connections, what was asked is answered, then nothing is left', async t => {
  trackLeaks(t)
  const there = await owner(t)
  const id = await session(there.url)
  const here = peers(t)
  const stream = ask(here, there.address, to(id), {})
  await stream.head
  const call = ask(here, there.address, to(id), { body: order('open', { answer: false }) })
  await there.log.until(line => line.text.includes('"open"'))
  there.listener.stopAccepting()
  const fresh = peers(t)
  t.equal(await ask(fresh, there.address, to(id), { body: order(2) }).outcome(), 'upstream_unreachable')
  const answer = JSON.stringify({ jsonrpc: '2.0', id: 'open', result: {} })
  const second = rawPost(there.url, order(3, { write: `${answer}\n` }), legacyHeaders(id))
  t.equal(await call.outcome(), 'end')
  await second
  await there.listener.flushed(5_000)
  await there.close()
  t.match(await stream.outcome(), /^(end|owner_lost)$/)
  t.equal(there.listener.connections, 0)
  t.equal(there.core.inFlight.size, 0)
})

t.test('it says where it listens, or why it cannot', async t => {
  trackLeaks(t)
  const there = await owner(t)
  const [, port] = there.address.split(':')
  t.match(there.log.of('peers-listening'), [{ level: 'debug', facts: { port: Number(port) } }])
  const { PeerListener } = await import('../../src/proxy/peer-listener.ts')
  const { settings } = await import('../../src/proxy/options.ts')
  const second = new PeerListener({
    host: '127.0.0.1',
    port: Number(port),
    keys: clusterKeys([KEY]),
    settings: settings(),
    log: there.log,
    instance: () => OWNER,
    route: () => undefined
  })
  await t.rejects(second.listen(), { code: 'EADDRINUSE' })
  await second.close()
})

t.test('notifications are accepted when they were taken', async t => {
  trackLeaks(t)
  const there = await owner(t)
  const answer = await raw(there, await session(there.url), { body: notification('notifications/initialized') })
  t.equal(answer.status, 202)
})
