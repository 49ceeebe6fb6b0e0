/** docs/sessions.md says what is in Redis: keys, fields and commands, compared with what several catflaps do there. */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { SILENT } from '../../src/log.ts'
import { openShared } from '../../src/session/redis/shared.ts'
import { newSession } from '../contract/session-store-harness.ts'
import { type RedisServer, skipWithoutRedis, startRedis } from '../fixtures/servers/redis.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { openSse, rawPost, rawRequest } from '../helpers/raw-client.ts'
import { legacyHeaders, rpc } from '../helpers/rpc.ts'
import { clusterDoors, commandOf } from '../integration/cluster-door.ts'
import { rawSession } from '../integration/http-door.ts'
import { losingServer } from '../integration/losing-server.ts'

const page = readFileSync(new URL('../../docs/sessions.md', import.meta.url), 'utf8')
const PASSWORD = 'a-password'
const LIMITS = { maxSessions: 100, idleTtl: 60_000, maxTtl: 3_600_000 }
const GET = { accept: 'text/event-stream' }

/** What stands for something else in the names of keys. */
const PARTS: Readonly<Record<string, string>> = {
  ROUTE: '[a-z0-9_-]+',
  SHARD: '(?:\\d|1[0-5])',
  NAME: '[\\w-]{24}',
  INSTANCE: '[\\w-]{16}',
  HELD: '[\\w-]{43}'
}
/** Not in what is tried here: a command of 2026-07-28, and a store of which nothing was asked for a while. */
const UNSEEN_KEYS = [/:held$/, /:probe$/]
/** Asked only now and then. */
const UNSEEN_COMMANDS = ['ping', 'persist', 'unsubscribe']

const bare = (cell = ''): string => cell.replaceAll('`', '')

function table(heading: string): string[][] {
  const section = page.split(new RegExp(`^#+ ${heading}$`, 'm'))[1]!.split(/^#+ /m)[0]!
  const rows = section.split('\n').filter(line => line.startsWith('| `'))
  return rows.map(row =>
    row
      .split('|')
      .map(cell => cell.trim())
      .slice(1, -1)
  )
}

function patternOf(key: string): RegExp {
  const escaped = key.replace(/[{}@]/g, '\\$&').replace(/[A-Z]{4,}/g, word => PARTS[word] ?? word)
  return new RegExp(`^${escaped}$`)
}

/** As it stands in the page, but for the password. */
const user = /^(user catflap .*)$/m.exec(page)![1]!.replace('>PASSWORD', `>${PASSWORD}`).split(' ')
const allowed = user.filter(word => word.startsWith('+')).map(word => word.slice(1).split('|')[0]!)

interface Seen {
  /** Names of all keys that anything was done to, with the type of those that are there. */
  readonly keys: Map<string, string | undefined>
  readonly channels: Set<string>
  readonly fields: Set<string>
  readonly commands: Set<string>
  /** Of sessions that were there. */
  readonly legs: Set<string>
  readonly facts: Set<string>
}

t.test('keys, fields and commands', { skip: skipWithoutRedis() }, async t => {
  trackLeaks(t)
  const redis = await startRedis([user])
  t.teardown(() => redis.stop())
  const admin = new Redis(redis.port, '127.0.0.1')
  t.teardown(() => admin.disconnect())
  const watched = await watch(t, redis, admin)
  await inSessionsOverHttp(t, urlFor(redis))
  await inSessionsOfACommand(t, urlFor(redis))
  await directly(t, urlFor(redis))
  const seen = await watched()

  await t.test('what is allowed to the user is enough, and all of it is needed', async t => {
    t.same(await admin.call('ACL', 'LOG'), [], 'nothing was refused')
    const idle = allowed.filter(name => !seen.commands.has(name) && !UNSEEN_COMMANDS.includes(name))
    t.same(idle, [])
  })

  await t.test('every key is in the table with its type, and nothing else is', async t => {
    const rows = table('Keys').map(([key, type]) => ({ key: bare(key), type: type!, pattern: patternOf(bare(key)) }))
    for (const [key, type] of seen.keys) {
      const row = rows.filter(({ pattern }) => pattern.test(key))
      t.equal(row.length, 1, key)
      if (type !== undefined) t.equal(row[0]?.type, type, key)
    }
    for (const { key, pattern } of rows)
      if (!UNSEEN_KEYS.some(unseen => unseen.test(key)))
        t.ok(
          [...seen.keys.keys()].some(name => pattern.test(name)),
          key
        )
    const channel = patternOf(/On the channel `([^`]+)`/.exec(page)![1]!)
    t.same(
      [...seen.channels].filter(name => !channel.test(name)),
      []
    )
  })

  await t.test('every field of a session is in the table, and nothing else is', async t => {
    const rows = table('Fields')
    t.same([...seen.fields].sort(), rows.map(([field]) => bare(field)).sort())
    const members = (field: string): string[] => {
      const text = rows.find(([name]) => bare(name) === field)![1]!
      return [...text.matchAll(/`(\w+)` \(/g)].map(([, name]) => name!).sort()
    }
    t.same([...seen.legs].sort(), members('l'))
    t.same([...seen.facts].sort(), members('f'))
  })
})

function urlFor({ port }: RedisServer): string {
  return `redis://catflap:${PASSWORD}@127.0.0.1:${port}`
}

/** Sees all that is done from now on, inside of scripts too. What comes back says what was seen. */
async function watch(t: Test, redis: RedisServer, admin: Redis): Promise<() => Promise<Seen>> {
  const [keys, types] = [new Map<string, string | undefined>(), new Map<string, string>()]
  const [channels, fields, commands] = [new Set<string>(), new Set<string>(), new Set<string>()]
  const [legs, facts] = [new Set<string>(), new Set<string>()]
  const socket = connect(redis.port, '127.0.0.1')
  t.teardown(() => void socket.destroy())
  const monitor = createInterface({ input: socket })
  monitor.on('line', line => {
    const [, source] = /^\S+ \[\d+ ([^\]]*)\]/.exec(line) ?? []
    if (source === undefined) return
    const [word = '', key = '', ...rest] = wordsOf(line)
    const command = word.toLowerCase()
    const type = TYPES[command.slice(0, 1)]
    if (command === 'monitor' || command === 'acl') return
    commands.add(command)
    if (command === 'publish' || command === 'subscribe') channels.add(key)
    if (!isOnKeys(command)) return
    for (const name of command === 'del' ? [key, ...rest] : [key]) if (!keys.has(name)) keys.set(name, undefined)
    if (type !== undefined && source === 'lua') types.set(key, type)
    if (command === 'set') types.set(key, 'string')
    if (command !== 'hset') return
    for (let i = 0; i + 1 < rest.length; i += 2) {
      fields.add(rest[i]!)
      if (rest[i] === 'l') for (const leg of Object.values(JSON.parse(rest[i + 1]!))) add(legs, leg)
      if (rest[i] === 'f') add(facts, JSON.parse(rest[i + 1]!))
    }
  })
  const begun = once(monitor, 'line')
  socket.write('MONITOR\r\n')
  await begun
  return async () => {
    // What was done before has been seen when this has.
    const last = `${Math.random()}`
    const over = new Promise<void>(resolve => {
      monitor.on('line', line => {
        if (wordsOf(line)[1] === last) resolve()
      })
    })
    await admin.echo(last)
    await over
    commands.delete('echo')
    for (const [key, type] of types) if (keys.has(key)) keys.set(key, type)
    return { keys, channels, fields, commands, legs, facts }
  }
}

/** As Redis writes them there. */
function wordsOf(line: string): string[] {
  return [...line.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, word]) =>
    word!.replace(/\\(x[0-9a-f]{2}|.)/g, (_, one: string) =>
      one.length > 1 ? String.fromCharCode(Number.parseInt(one.slice(1), 16)) : (ESCAPES[one] ?? one)
    )
  )
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t' }

const TYPES: Readonly<Record<string, string>> = { h: 'hash', z: 'sorted set' }
const WITHOUT_KEYS = new Set(['eval', 'evalsha', 'time', 'publish', 'subscribe', 'unsubscribe', 'ping', 'info', 'echo'])

function isOnKeys(command: string): boolean {
  return !WITHOUT_KEYS.has(command) && !/^(auth|client|hello|select|acl|monitor|command)$/.test(command)
}

function add(to: Set<string>, object: unknown): void {
  for (const name of Object.keys(object as object)) to.add(name)
}

async function inSessionsOverHttp(t: Test, url: string): Promise<void> {
  const losing = await losingServer()
  const { instances } = await clusterDoors(
    t,
    { url: losing.server.url },
    {
      sharedStore: { url, lease: 2_000, onFailure: 'local' },
      sessionLoss: 'reinitialize'
    }
  )
  t.teardown(() => losing.server.close())
  const [a, b] = [instances[0]!.url, instances[1]!.url]
  const id = await rawSession(a)
  const headers = legacyHeaders(id)
  const ask = async (at: string, method: string, params: Record<string, unknown> = {}): Promise<void> => {
    t.equal((await rawPost(at, rpc(1, method, params), headers)).status, 200, method)
  }
  await ask(a, 'logging/setLevel', { level: 'info' })
  await ask(b, 'resources/subscribe', { uri: 'test://one' })
  const stream = await openSse(b, { headers: { ...headers, ...GET } })
  const asked = '{"jsonrpc":"2.0","id":"q","method":"ping"}'
  await losing.streams.at(-1)!.write(`id: 1\ndata: ${asked}\n\n`)
  await stream.nextMessage()
  losing.lose()
  await ask(a, 'tools/list')
  await rawPost(b, { jsonrpc: '2.0', id: 'q', result: {} }, headers)
  stream.close()
  t.equal((await rawRequest(b, { method: 'DELETE', headers })).status, 200)
}

async function inSessionsOfACommand(t: Test, url: string): Promise<void> {
  const { instances } = await clusterDoors(t, commandOf('puppet-stdio.ts'), {
    sharedStore: { url, lease: 2_000 },
    sessionLoss: 'reinitialize'
  })
  const [a, b] = [instances[0]!, instances[1]!]
  const id = await rawSession(a.url)
  t.equal((await rawPost(b.url, rpc(1, 'echo'), legacyHeaders(id))).status, 200)
  await a.door.close()
  t.equal((await rawPost(b.url, rpc(2, 'echo'), legacyHeaders(id))).status, 200)
}

/** What happens seldom: expiry, listing, somebody who is gone, a store that is asked how it is. */
async function directly(t: Test, url: string): Promise<void> {
  const shared = openShared({ url, onFailure: 'local' }, SILENT)
  t.teardown(() => shared.close())
  const store = shared.store('seldom', { ...LIMITS, idleTtl: 1 })
  t.teardown(() => store.close())
  await store.create(newSession('short'))
  await store.delete('of nobody')
  let expired = await store.expired(10)
  while (expired.length === 0) expired = await store.expired(10)
  await store.mark?.('short', 'a mark')
  await store.list({ limit: 10 })
  await store.count()
  await store.delete('short')
  await shared.membership.confirm()
  await shared.membership.depose('nobody-is-so-now')
  const full = shared.store('full', { ...LIMITS, maxSessions: 1 })
  t.teardown(() => full.close())
  await full.create(newSession('first'))
  await t.rejects(async () => await full.create(newSession('second')))
}
