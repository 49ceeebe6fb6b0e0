/** TLS in front of both protocols: who is let in, what happens to handshakes that fail, certificates that change. */
import { X509Certificate } from 'node:crypto'
import { connect as connectTcp } from 'node:net'
import { connect as connectTls, type PeerCertificate, type TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import type { HttpServer } from '../../src/transport/downstream/http-server.ts'
import { tlsPrincipal } from '../../src/transport/downstream/tls-peer.ts'
import { CA } from '../fixtures/tls/certificates.ts'
import { makeClient } from '../fixtures/tls/client.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { waitFor, within } from '../helpers/wait.ts'
import { client, conversations, json, serve, TLS, WIRES } from './wires.ts'

const [, PLAIN, , H2] = WIRES as [unknown, (typeof WIRES)[number], unknown, (typeof WIRES)[number]]

/** Counted a moment after the client has noticed. */
async function failures(server: HttpServer, count: number): Promise<void> {
  while (server.refusals.tls_handshake < count) await new Promise(resolve => setImmediate(resolve))
}

async function secure(t: Test, port: number, options: object = {}): Promise<TLSSocket> {
  const socket = connectTls({ port, host: 'localhost', ca: CA, ...options })
  t.teardown(() => void socket.destroy())
  await waitFor(socket, 'secureConnect')
  return socket
}

t.test('ALPN decides; who does not know it speaks HTTP/1.1', async t => {
  trackLeaks(t)
  const { handler } = conversations()
  const { server, port } = await serve(t, H2, handler)
  t.equal((await secure(t, port, { ALPNProtocols: ['http/1.1', 'h2'] })).alpnProtocol, 'h2', 'the server chooses')
  t.equal((await secure(t, port, { ALPNProtocols: ['http/1.1'] })).alpnProtocol, 'http/1.1')
  t.equal((await secure(t, port)).alpnProtocol, false)
  await t.rejects(secure(t, port, { ALPNProtocols: ['spdy/3'] }))
  await failures(server, 1)
  const without = await serve(t, H2, handler, { http2: false })
  t.equal((await secure(t, without.port, { ALPNProtocols: ['h2', 'http/1.1'] })).alpnProtocol, 'http/1.1')
})

t.test('TLS 1.2 is the oldest', async t => {
  trackLeaks(t)
  const { server, port } = await serve(t, H2, conversations().handler)
  t.equal((await secure(t, port, { maxVersion: 'TLSv1.2' })).getProtocol(), 'TLSv1.2')
  const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }
  await t.rejects(secure(t, port, old))
  await failures(server, 1)
})

t.test('clients must present what their authority has signed, and are known by it', async t => {
  trackLeaks(t)
  const dir = t.testdir({ one: {}, other: {} })
  const [mine, foreign] = [await makeClient(`${dir}/one`), await makeClient(`${dir}/other`, 'other')]
  const { handler, all } = conversations()
  const { server, port } = await serve(t, H2, handler, { tls: { ...TLS, clientCa: mine.ca } })
  const fingerprint = new X509Certificate(mine.cert).fingerprint256.replaceAll(':', '').toLowerCase()
  for (const wire of [PLAIN, H2]) {
    const answer = client(t, wire, port, { cert: mine.cert, key: mine.key }).get()
    const { req, reply } = await all.next()
    t.equal(tlsPrincipal(req.socket), `cert:${fingerprint.slice(0, 16)}`)
    reply.answer(json(200, '{}'))
    t.equal((await answer).status, 200)
  }
  const before = server.refusals.tls_handshake
  await t.rejects(client(t, PLAIN, port).get())
  await t.rejects(client(t, H2, port, { cert: foreign.cert, key: foreign.key }).get())
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3']) await t.rejects(client(t, PLAIN, port, { maxVersion }).get())
  await failures(server, before + 4)
  t.equal(all.items.length, 2)
})

t.test('a handshake that is taken up again knows its client, too', async t => {
  trackLeaks(t)
  const mine = await makeClient(t.testdir())
  const { handler, all } = conversations()
  const { port } = await serve(t, H2, handler, { tls: { ...TLS, clientCa: mine.ca } })
  const ask = async (socket: TLSSocket): Promise<string | undefined> => {
    socket.on('error', () => {})
    socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
    const { req, reply } = await all.next()
    reply.answer(json(200, '{}'))
    return tlsPrincipal(req.socket)
  }
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3']) {
    const first = connectTls({ port, host: 'localhost', ca: CA, cert: mine.cert, key: mine.key, maxVersion } as object)
    t.teardown(() => void first.destroy())
    const told = waitFor(first, 'session')
    await waitFor(first, 'secureConnect')
    const principal = await ask(first)
    const [session] = await told
    const again = await secure(t, port, { maxVersion, session, cert: mine.cert, key: mine.key })
    t.ok(again.isSessionReused(), maxVersion)
    t.match(principal, /^cert:[0-9a-f]{16}$/)
    t.equal(await ask(again), principal)
  }
})

t.test('who was asked for no certificate is nobody', async t => {
  trackLeaks(t)
  const { handler, all } = conversations()
  const { port } = await serve(t, H2, handler)
  const identity = await makeClient(t.testdir())
  const answer = client(t, H2, port, { cert: identity.cert, key: identity.key }).get()
  const { req, reply } = await all.next()
  t.equal(tlsPrincipal(req.socket), undefined)
  reply.answer(json(200, '{}'))
  await answer
})

t.test('handshakes that come to nothing are counted, and end in time', async t => {
  trackLeaks(t)
  const { server, port } = await serve(t, H2, conversations().handler, { clientTimeout: 150 })
  const silent = connectTcp(port, '127.0.0.1')
  silent.on('error', () => {})
  await within(waitFor(silent, 'close'))
  await failures(server, 1)
  const rude = connectTcp(port, '127.0.0.1', () => rude.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'))
  rude.on('error', () => {})
  rude.resume()
  await within(waitFor(rude, 'close'))
  await failures(server, 2)
  const gone = connectTcp(port, '127.0.0.1', () => gone.destroy())
  await waitFor(gone, 'close')
  await failures(server, 3)
  // A handshake alone is no request.
  const idle = await secure(t, port, { ALPNProtocols: ['http/1.1'] })
  let heard = ''
  idle.on('data', chunk => {
    heard += chunk
  })
  await waitFor(idle, 'end')
  t.match(heard, /^HTTP\/1\.1 408 /)
  while (server.connections > 0) await new Promise(resolve => setImmediate(resolve))
})

t.test('certificates change for new connections, and stay where others cannot be used', async t => {
  trackLeaks(t)
  const dir = t.testdir({ one: {}, two: {} })
  const second = await makeClient(`${dir}/one`, 'localhost')
  const clients = await makeClient(`${dir}/two`)
  const { handler, all } = conversations()
  const { server, port } = await serve(t, H2, handler)
  const nameOf = async (options: object) => {
    const certificate: PeerCertificate = (await secure(t, port, options)).getPeerCertificate()
    return String(certificate.subject.CN)
  }
  const early = client(t, H2, port)
  const first = early.get()
  ;(await all.next()).reply.answer(json(200, '{}'))
  await first
  t.equal(await nameOf({}), 'server.test')
  t.throws(() => server.setTls({ certificate: 'none', key: 'none' }), { name: 'TypeError', message: /^tls: / })
  t.throws(() => server.setTls({ ...TLS, key: second.key }), { name: 'TypeError', message: /^tls: / })
  t.equal(await nameOf({}), 'server.test')
  server.setTls({ certificate: second.cert, key: second.key, clientCa: clients.ca })
  const trusted = { ca: second.ca, checkServerIdentity: () => undefined }
  t.equal(await nameOf({ ...trusted, cert: clients.cert, key: clients.key }), 'localhost')
  await t.rejects(client(t, PLAIN, port, trusted).get(), 'clients have to show theirs now')
  const again = early.get()
  ;(await all.next()).reply.answer(json(200, '{}'))
  t.equal((await again).status, 200, 'who is connected stays so')
})

t.test('certificates that cannot be used keep a listener from opening, and only one with TLS has any', async t => {
  trackLeaks(t)
  const { handler } = conversations()
  await t.rejects(serve(t, PLAIN, handler, { tls: { ...TLS, certificate: TLS.key } }), {
    name: 'TypeError',
    message: /^tls: /
  })
  const { server } = await serve(t, { tls: false }, handler)
  t.throws(() => server.setTls(TLS), { name: 'TypeError', message: /^tls: / })
})
