/** A call is never made twice unless the server cannot have seen it: a server that counts, and breaks at every point. */
import { createServer, type Server, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { startRawHttp } from '../fixtures/servers/raw-http.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { type RawResponse, rawPost } from '../helpers/raw-client.ts'
import { initialize, legacyHeaders, toolCall } from '../helpers/rpc.ts'
import { groupDoor } from './group-door.ts'

/** Where a connection is broken: by its reset, or in order. */
type Stage = 'at accept' | 'in the head' | 'in the body' | 'once read' | 'in the status' | 'in the answer'
type How = 'reset' | 'cut'

const STAGES: readonly Stage[] = [
  'at accept',
  'in the head',
  'in the body',
  'once read',
  'in the status',
  'in the answer'
]

interface Breaking {
  readonly url: string
  /** How often bytes of a request came, by the id in its body (`?`: it was not read so far). */
  readonly seen: Map<string, number>
  readonly connections: number
}

const BODY = 3_000
const ANSWER = '{"jsonrpc":"2.0","id":0,"result":{}}'
const HEAD = `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${ANSWER.length}\r\n\r\n`

/** A server on bare TCP that breaks each connection at one stage. */
async function breaking(t: Test, stage: Stage, how: How): Promise<Breaking> {
  const seen = new Map<string, number>()
  const sockets = new Set<Socket>()
  let connections = 0
  const server: Server = createServer({ allowHalfOpen: true }, socket => {
    connections++
    sockets.add(socket)
    socket.on('error', () => {})
    socket.once('close', () => sockets.delete(socket))
    const end = (): void => {
      if (how === 'reset') socket.resetAndDestroy()
      else socket.destroy()
    }
    if (stage === 'at accept') return end()
    let text = ''
    let counted = false
    socket.on('data', chunk => {
      text += chunk.toString('latin1')
      const id = /"id":"?([\w-]+)/.exec(text)?.[1] ?? '?'
      if (!counted) seen.set(id, (seen.get(id) ?? 0) + 1)
      counted = true
      const body = text.split('\r\n\r\n')[1]
      if (stage === 'in the head') return end()
      if (stage === 'in the body' && body !== undefined) return end()
      if (body === undefined || body.length < BODY) return
      if (stage === 'once read') return end()
      socket.write(stage === 'in the status' ? HEAD.slice(0, 9) : `${HEAD}${ANSWER.slice(0, 10)}`, end)
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise(resolve => server.close(resolve))
  })
  const address = server.address() as { port: number }
  return {
    url: `http://127.0.0.1:${address.port}/mcp`,
    seen,
    get connections() {
      return connections
    }
  }
}

/** 0: the answer broke off. */
const statusOf = (answer: Promise<RawResponse>): Promise<number> =>
  answer.then(
    ({ status }) => status,
    () => 0
  )

const padded = { padding: 'x'.repeat(BODY) }

for (const how of ['reset', 'cut'] as const)
  for (const stage of STAGES) {
    t.test(`broken ${stage} (${how}): the call fails, and nobody gets it again`, async t => {
      trackLeaks(t)
      const broken = await breaking(t, stage, how)
      const other = await startRawHttp()
      t.teardown(() => other.close())
      const door = await groupDoor(t, [broken.url, other.url], { health: { failures: 0 } })
      const answers = []
      for (let i = 0; i < 6; i++) answers.push(await statusOf(door.call(`call-${i}`, 'echo', padded)))
      const passed = answers.filter(status => status === 200).length
      t.equal(other.counters.count('POST'), passed, 'the other server got what was answered, and no more')
      t.ok(
        [...broken.seen].every(([id, n]) => id === '?' || n === 1),
        'none came twice'
      )
      t.equal(broken.connections, 3)
      // A reset may be here before anything was written: the call then went to the other server.
      if (stage === 'at accept') t.equal(passed, 3 + door.again.items.length)
      else t.same([passed, door.again.items], [3, []])
    })
  }

/** A port that nobody listens at. */
async function closedPort(): Promise<number> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise(resolve => server.close(resolve))
  return port
}

t.test('no connection: the other server gets the call, once', async t => {
  trackLeaks(t)
  const other = await startRawHttp()
  t.teardown(() => other.close())
  const door = await groupDoor(t, [`http://127.0.0.1:${await closedPort()}/mcp`, other.url])
  const notes: string[] = []
  door.core.bus.subscribe({ frame: frame => frame.note && notes.push(`${frame.note}: ${frame.text}`) })
  for (let i = 0; i < 4; i++) t.equal((await door.call(i)).status, 200)
  t.match(notes[0], /^notice: the request did not reach the server and is sent once more: .*cannot connect/)
  t.equal(other.counters.count('POST'), 4)
  t.same(new Set(door.again.items), new Set(['not_sent']))
})

t.test('no connection anywhere: three attempts, and the error says what is wrong', async t => {
  trackLeaks(t)
  const urls = [`http://127.0.0.1:${await closedPort()}/mcp`, `http://127.0.0.1:${await closedPort()}/mcp`]
  const door = await groupDoor(t, urls)
  const answer = await door.call(1)
  t.equal(answer.status, 502)
  t.match(answer.json(), { id: 1, error: { data: { code: 'upstream_unreachable' } } })
  t.same(door.again.items, ['not_sent', 'not_sent'])
})

t.test('retries end with their budget: a server that is down is not asked three times for each call', async t => {
  trackLeaks(t)
  const door = await groupDoor(t, [`http://127.0.0.1:${await closedPort()}/mcp`])
  const answers = await Promise.all(Array.from({ length: 100 }, (_, i) => door.call(i)))
  t.ok(answers.every(a => a.status === 502))
  t.ok(door.again.items.length <= 100 / 5 + 10 + 5, `${door.again.items.length} retries of 100 calls`)
})

t.test('a server that is just being started: the call waits for it', async t => {
  trackLeaks(t)
  const port = await closedPort()
  const door = await groupDoor(t, [`http://127.0.0.1:${port}/mcp`])
  const answer = door.call(1)
  t.equal(await door.again.next(), 'not_sent')
  const server = await startRawHttp(undefined, { port })
  t.teardown(() => server.close())
  t.equal((await answer).status, 200)
  t.equal(server.counters.count('POST'), 1)
})

t.test('a session asks its own server again, never another', async t => {
  trackLeaks(t)
  const one = await startRawHttp(x => x.json(200, '{"jsonrpc":"2.0","id":0,"result":{}}', ['Mcp-Session-Id', 'one']))
  const port = one.port
  const other = await startRawHttp()
  t.teardown(() => other.close())
  const door = await groupDoor(t, [one.url, other.url])
  const session = await rawPost(door.url, initialize(0))
  const id = String(session.headers['mcp-session-id'])
  t.not(id, 'one')
  await one.close()
  const before = other.counters.count('POST')
  const answer = rawPost(door.url, toolCall(1, 'echo'), legacyHeaders(id))
  t.equal(await door.again.next(), 'not_sent')
  const back = await startRawHttp(undefined, { port })
  t.teardown(() => back.close())
  t.equal((await answer).status, 200)
  t.equal(back.counters.count('POST'), 1)
  t.equal(back.exchanges[0]?.headers['mcp-session-id'], 'one')
  t.equal(other.counters.count('POST'), before)
})
