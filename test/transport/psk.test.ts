/** The TLS of instances: who has the key, and nobody else. */
import { type AddressInfo, createServer as createTcp } from 'node:net'
import { connect, createServer, type TLSSocket, type TlsOptions } from 'node:tls'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { type ClusterKey, clusterKeys, pskClientOptions, pskServerOptions } from '../../src/transport/psk.ts'
import { SERVER_TLS } from '../fixtures/tls/certificates.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { waitFor, within } from '../helpers/wait.ts'

const [ONE, OTHER] = clusterKeys(['1'.repeat(32), '2'.repeat(32)]) as [ClusterKey, ClusterKey]

interface Listening {
  readonly port: number
  /** What became of each handshake: `in`, or an error's code. */
  readonly seen: string[]
  next(count: number): Promise<void>
}

async function serve(t: Test, options: TlsOptions): Promise<Listening> {
  const seen: string[] = []
  const sockets = new Set<{ destroy(): unknown }>()
  const server = createServer(options)
  const note = (what: string): void => {
    seen.push(what)
    server.emit('noted')
  }
  server.on('connection', socket => void sockets.add(socket))
  server.on('secureConnection', (socket: TLSSocket) => {
    socket.on('error', () => {})
    socket.on('data', data => void socket.write(data))
    note('in')
  })
  server.on('tlsClientError', (error: NodeJS.ErrnoException) => note(error.code ?? error.message))
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    return new Promise(resolve => server.close(resolve))
  })
  const { port } = server.address() as AddressInfo
  const next = async (count: number): Promise<void> => {
    while (seen.length < count) await waitFor(server, 'noted')
  }
  return { port, seen, next }
}

/** The connection, or how it failed. */
async function dial(t: Test, port: number, options: object): Promise<TLSSocket | string> {
  const socket = connect({ host: '127.0.0.1', port, ...options })
  t.teardown(() => void socket.destroy())
  try {
    await waitFor(socket, 'secureConnect')
    socket.on('error', () => {})
    return socket
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error)
  }
}

t.test('keys come of texts, each its own, and nothing of a text shows', async t => {
  fc.assert(
    fc.property(fc.string({ minLength: 32 }), fc.string({ minLength: 32 }), (a, b) => {
      const [one, again, other] = clusterKeys([a, a, b]) as [ClusterKey, ClusterKey, ClusterKey]
      if (one.psk.length !== 32 || !/^catflap-[\w-]{12}$/.test(one.identity)) return false
      if (!one.psk.equals(again.psk) || one.identity !== again.identity) return false
      return (one.identity === other.identity) === one.psk.equals(other.psk)
    })
  )
  t.throws(() => clusterKeys([]), RangeError)
  t.throws(() => pskClientOptions([]), RangeError)
  const short = 's'.repeat(31)
  t.throws(() => clusterKeys(['1'.repeat(32), short]), RangeError)
  try {
    clusterKeys([short])
  } catch (error) {
    t.notMatch((error as Error).message, /ss/)
  }
})

t.test('who has the key gets in, by TLS 1.2 with a fresh secret for each connection', async t => {
  trackLeaks(t)
  const server = await serve(t, pskServerOptions([ONE]))
  const socket = (await dial(t, server.port, pskClientOptions([ONE]))) as TLSSocket
  t.equal(socket.getProtocol(), 'TLSv1.2')
  t.equal(socket.getCipher().standardName, 'TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256')
  t.notOk(socket.getTLSTicket())
  const again = (await dial(t, server.port, { ...pskClientOptions([ONE]), session: socket.getSession() })) as TLSSocket
  t.notOk(again.isSessionReused(), 'a connection is never taken up again from an earlier one')
})

t.test('keys change one after the other: any is accepted, the first is presented', async t => {
  trackLeaks(t)
  const both = await serve(t, pskServerOptions([OTHER, ONE]))
  const old = await serve(t, pskServerOptions([ONE]))
  t.type(await dial(t, both.port, pskClientOptions([ONE])), 'object')
  t.type(await dial(t, both.port, pskClientOptions([OTHER, ONE])), 'object')
  t.type(await dial(t, old.port, pskClientOptions([ONE, OTHER])), 'object')
  t.type(await dial(t, old.port, pskClientOptions([OTHER, ONE])), 'string')
  await old.next(2)
  t.equal(old.seen.filter(how => how === 'in').length, 1)
})

t.test('a key with a wrong name and a name with a wrong key fail alike', async t => {
  trackLeaks(t)
  const server = await serve(t, pskServerOptions([ONE]))
  const wrongKey = await dial(t, server.port, pskClientOptions([{ identity: ONE.identity, psk: OTHER.psk }]))
  const unknown = await dial(t, server.port, pskClientOptions([OTHER]))
  const renamed = await dial(t, server.port, pskClientOptions([{ identity: 'somebody', psk: ONE.psk }]))
  t.type(wrongKey, 'string')
  t.equal(unknown, wrongKey)
  t.equal(renamed, wrongKey)
  await server.next(3)
  t.equal(new Set(server.seen).size, 1, server.seen.join())
  t.notOk(server.seen.includes('in'))
})

t.test('no other TLS gets in, nor is a server with a certificate believed', async t => {
  trackLeaks(t)
  const server = await serve(t, pskServerOptions([ONE]))
  const certified = await serve(t, { cert: SERVER_TLS.cert, key: SERVER_TLS.key })
  const others = [
    { rejectUnauthorized: false },
    { rejectUnauthorized: false, minVersion: 'TLSv1.3' },
    { rejectUnauthorized: false, ciphers: 'ALL:aNULL:eNULL:@SECLEVEL=0' },
    { ...pskClientOptions([ONE]), ciphers: 'PSK-CHACHA20-POLY1305' }
  ]
  for (const options of others) t.type(await dial(t, server.port, options), 'string')
  t.type(await dial(t, certified.port, pskClientOptions([ONE])), 'string')
  t.type(await dial(t, certified.port, { ...pskClientOptions([ONE]), rejectUnauthorized: false }), 'string')
  await server.next(others.length)
  t.notOk(server.seen.includes('in'))
})

t.test('within a connection no other handshake begins', async t => {
  trackLeaks(t)
  const server = await serve(t, pskServerOptions([ONE]))
  // As somebody would who has the key and does not keep to it.
  const socket = (await dial(t, server.port, { ...pskClientOptions([ONE]), secureOptions: 0 })) as TLSSocket
  const how = await within(
    new Promise<Error | null>(resolve => {
      socket.once('error', resolve)
      socket.once('close', () => resolve(new Error('closed')))
      if (socket.renegotiate({ rejectUnauthorized: false }, resolve) === false) resolve(new Error('refused'))
    })
  )
  t.type(how, Error)
})

t.test('who listens cannot learn the key from a client that takes it for an instance', async t => {
  trackLeaks(t)
  const heard: Buffer[] = []
  const server = createTcp(socket => {
    socket.on('error', () => {})
    socket.on('data', data => {
      heard.push(data)
      socket.end('HTTP/1.1 200 OK\r\n\r\n')
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => new Promise(resolve => server.close(resolve)))
  t.type(await dial(t, (server.address() as AddressInfo).port, pskClientOptions([ONE])), 'string')
  t.ok(heard.length > 0)
  t.equal(Buffer.concat(heard).indexOf(ONE.psk), -1)
})
