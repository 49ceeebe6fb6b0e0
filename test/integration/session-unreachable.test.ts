/** A session whose server has been out of reach for so long that it counts as lost: `lost` in the error says so. */
import t, { type Test } from 'tap'
import { CatflapError } from '../../src/errors.ts'
import type { CallReceiver, Leg } from '../../src/transport/upstream.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { openSse, rawPost, rawRequest } from '../helpers/raw-client.ts'
import { initialize, legacyHeaders, rpc } from '../helpers/rpc.ts'
import { LATE_CODES, upstreamSockets } from '../helpers/upstream-sockets.ts'
import { groupDoor } from './group-door.ts'
import { rawSession } from './http-door.ts'
import { answer, type LosingServer, losingServer } from './losing-server.ts'

/** Two servers, and a session at one of them. From `given up` on each error of that session's says that it is lost. */
async function twoServers(t: Test) {
  trackLeaks(t)
  const servers = [await watched(t), await watched(t)]
  for (const { server } of servers) t.teardown(() => server.close())
  const door = await groupDoor(
    t,
    servers.map(s => s.server.url)
  )
  let givenUp = false
  const { target } = door
  const resume = target.resume.bind(target)
  target.resume = (id, member) => {
    const leg = resume(id, member)
    return leg && marked(leg, () => givenUp)
  }
  const id = await rawSession(door.url)
  const home = servers.find(s => s.initializes.length > 0)!
  const other = servers.find(s => s !== home)!
  const markLost = (): void => {
    givenUp = true
  }
  const giveUp = async (): Promise<void> => {
    await home.server.close()
    markLost()
  }
  return { ...door, id, home, other, giveUp, markLost }
}

/** With our connections to it. */
async function watched(t: Test): Promise<LosingServer & { readonly sockets: ReturnType<typeof upstreamSockets> }> {
  const losing = await losingServer()
  return Object.assign(losing, { sockets: upstreamSockets(t, losing.server.port) })
}

function marked(leg: Leg, lost: () => boolean): Leg {
  return {
    upstreamId: leg.upstreamId,
    member: leg.member,
    close: headers => leg.close(headers),
    call: (input, receiver) => {
      const through: CallReceiver = Object.create(receiver, {
        onError: {
          value: (error: CatflapError) => {
            const { code, message, cause } = error
            const data = { ...error.data, ...(lost() && { lost: true }) }
            receiver.onError(new CatflapError(code, message, { cause, data }))
          }
        }
      })
      return leg.call(input, bound(through, receiver))
    }
  }
}

/** Methods of the receiver itself, which has private members. */
function bound(through: CallReceiver, receiver: CallReceiver): CallReceiver {
  return {
    onHead: head => receiver.onHead(head),
    onData: chunk => receiver.onData(chunk),
    onMessage: (message, last) => receiver.onMessage(message, last),
    onEnd: () => receiver.onEnd(),
    onError: error => through.onError(error)
  }
}

t.test('it goes on at another server, and each call is carried out there once', async t => {
  const { url, id, other, giveUp, core } = await twoServers(t)
  await giveUp()
  const calls = await Promise.all([1, 2, 3].map(n => rawPost(url, rpc(n, 'count', { n }), legacyHeaders(id))))
  for (const [i, call] of calls.entries()) t.match(call.json(), { id: i + 1, result: { echo: { n: i + 1 } } })
  t.equal(other.initializes.length, 1)
  t.equal(other.accepted.filter(method => method === 'count').length, 3)
  t.equal(core.sessions.size, 1)
  const stream = await openSse(url, { headers: { ...legacyHeaders(id), accept: 'text/event-stream' } })
  t.equal(stream.status, 200)
  stream.close()
})

t.test('what may have reached the server is not sent again; what comes after goes on', async t => {
  const { url, id, home, other, giveUp } = await twoServers(t)
  const came = Promise.withResolvers<void>()
  home.onRequest = () => came.resolve()
  const call = rawPost(url, rpc(1, 'count'), legacyHeaders(id))
  await came.promise
  home.onRequest = answer
  const closed = giveUp()
  t.match(await call, { status: 502, text: /upstream_reset/ })
  await closed
  t.equal((await rawPost(url, rpc(2, 'count'), legacyHeaders(id))).status, 200)
  t.equal(other.of('count').length, 1)
})

t.test('whatever its connection ends with once it was written, a call is not sent again', async t => {
  for (const code of LATE_CODES) {
    await t.test(code, async t => {
      const { url, id, home, other, markLost } = await twoServers(t)
      const came = Promise.withResolvers<void>()
      home.onRequest = () => came.resolve()
      const call = rawPost(url, rpc(1, 'count'), legacyHeaders(id))
      await came.promise
      // Its host is cut off: nothing is closed there, and nothing answers any more.
      markLost()
      t.ok(home.sockets.breakAll(code) > 0)
      t.match(await call, { status: 502, text: /upstream_reset/ })
      t.equal(home.of('count').length, 1)
      t.equal(other.of('count').length, 0)
    })
  }
})

t.test('where no other takes it the client gets 404, and begins anew', async t => {
  const { url, id, other, giveUp, core } = await twoServers(t)
  await giveUp()
  other.onInitialize = x => x.json(500, '{}')
  const answered = await rawPost(url, rpc(1, 'count'), legacyHeaders(id))
  t.equal(answered.status, 404)
  t.match(answered.json(), { id: 1, error: { data: { code: 'session_not_found' } } })
  t.equal(core.sessions.size, 0)
})

t.test('where none can be asked it stays what it was, and the client hears why', async t => {
  const { url, id, home, other, giveUp, core } = await twoServers(t)
  await other.server.close()
  await giveUp()
  for (let n = 0; n < 2; n++) {
    const answered = await rawPost(url, rpc(n, 'count'), legacyHeaders(id))
    t.match(answered, { status: /^50[23]$/, text: /upstream_unreachable|target_unavailable/ })
  }
  t.equal(core.sessions.size, 1, 'the server may know it still when it is back')
  t.equal(home.initializes.length, 1)
})

t.test('it does not go on at the server that was given up', async t => {
  const { url, id, home, other, markLost } = await twoServers(t)
  t.equal((await rawPost(url, initialize())).status, 200)
  t.equal(other.initializes.length, 1, 'the next initialize would be for the first')
  home.onRequest = x => x.reset()
  markLost()
  await rawPost(url, rpc(1, 'count'), legacyHeaders(id))
  t.equal((await rawPost(url, rpc(2, 'count'), legacyHeaders(id))).status, 200)
  t.equal(home.initializes.length, 1)
  t.equal(other.initializes.length, 2)
})

t.test('DELETE ends a session whose server cannot be reached, whether it was given up or not', async t => {
  const { url, id, home, core } = await twoServers(t)
  await home.server.close()
  t.equal((await rawRequest(url, { method: 'DELETE', headers: legacyHeaders(id) })).status, 200)
  t.equal(core.sessions.size, 0)
  t.equal((await rawPost(url, rpc(1, 'ping'), legacyHeaders(id))).status, 404)
})
