/** Options for several processes: what makes no sense is refused by name, before anything is opened, and without its secrets. */
import t from 'tap'
import {
  createForward,
  createReverse,
  type ForwardOptions,
  MemorySessionStore,
  type ReverseOptions
} from '../../src/index.ts'
import { checkLasting, isAddress } from '../../src/proxy/check-shared.ts'
import { sameOptions } from '../../src/proxy/same-options.ts'
import { secretsOf } from '../../src/proxy/secrets.ts'
import { trackLeaks } from '../helpers/leaks.ts'

const target = { url: 'http://127.0.0.1:1/mcp' }
const url = 'redis://user:geheim@127.0.0.1:1'
const KEY = 'geheim-geheim-geheim-geheim-geheim'
const cluster = { listen: {}, keys: [KEY] }

const WRONG: [given: Partial<ForwardOptions> | Record<string, unknown>, message: RegExp][] = [
  [{ sharedStore: { url }, store: new MemorySessionStore() }, /^.*store and sharedStore exclude each other/],
  [{ cluster }, /^cluster: .*give sharedStore as well/],
  [{ sharedStore: { url: 'http://user:geheim@a/' } }, /^sharedStore\.url: a store is redis:\/\//],
  [{ sharedStore: { url: 'redis://user:geheim@a:0' } }, /^sharedStore\.url: .*HOST:PORT/],
  [{ sharedStore: {} }, /^sharedStore\.url: /],
  [{ sharedStore: { url, keys: [Buffer.from('geheim')] } }, /^sharedStore\.keys: .*Buffers of 32 bytes/],
  [{ sharedStore: { url, keys: 'geheim' } }, /^sharedStore\.keys: /],
  [{ sharedStore: { url, prefix: 'a{b}' } }, /^sharedStore\.prefix: .*braces/],
  [{ sharedStore: { url, prefix: 'a b' } }, /^sharedStore\.prefix: /],
  [{ sharedStore: { url, onFailure: 'remote' } }, /^sharedStore\.onFailure: .*'fail' or 'local'/],
  [{ sharedStore: { url, insecure: true } }, /^sharedStore\.insecure: .*rediss:\/\/ alone/],
  [{ sharedStore: { url, ca: 'x' } }, /^sharedStore\.ca: .*rediss:\/\/ alone/],
  [{ sharedStore: { url, timeout: 9 } }, /^sharedStore\.timeout: .*10 to 60000/],
  [{ sharedStore: { url, timeout: 60_001 } }, /^sharedStore\.timeout: /],
  [{ sharedStore: { url, lease: 999 } }, /^sharedStore\.lease: .*1000 to 600000/],
  [{ sharedStore: { url, lease: 600_001 } }, /^sharedStore\.lease: /],
  [{ sharedStore: { url }, cluster: { listen: {}, keys: [] } }, /^cluster\.keys: .*32 characters/],
  [{ sharedStore: { url }, cluster: { listen: {}, keys: ['geheim'] } }, /^cluster\.keys: .*32 characters/],
  [{ sharedStore: { url }, cluster: { listen: { port: 70_000 }, keys: [KEY] } }, /^cluster\.listen\.port: /],
  [{ sharedStore: { url }, cluster: { listen: { host: '' }, keys: [KEY] } }, /^cluster\.listen\.host: /],
  [
    { sharedStore: { url }, cluster: { listen: { host: '0.0.0.0' }, keys: [KEY] } },
    /^cluster\.address: .*all addresses/
  ],
  [{ sharedStore: { url }, cluster: { listen: { host: '::' }, keys: [KEY] } }, /^cluster\.address: /],
  [{ sharedStore: { url }, cluster: { ...cluster, address: 'here' } }, /^cluster\.address: .*HOST:PORT/]
]

t.test('of a forward proxy, and of a reverse one', async t => {
  trackLeaks(t)
  for (const [given, message] of WRONG) {
    const is = { name: 'TypeError', message: new RegExp(`(?!.*geheim)${message.source}`) }
    await t.rejects(createForward({ target, ...given } as ForwardOptions), is, String(message))
    const { store, ...shared } = given as ForwardOptions
    const routes = { a: { targets: [target], ...(store && { store }) } }
    await t.rejects(createReverse({ routes, ...shared } as ReverseOptions), is, String(message))
  }
})

t.test('a client on a pair of pipes has no use for either', async t => {
  trackLeaks(t)
  const listen = { input: process.stdin, output: process.stdout }
  await t.rejects(createForward({ target, listen, sharedStore: { url } }), /^sharedStore: a client on a pair of pipes/)
  await t.rejects(createForward({ target, listen, cluster }), /^cluster: a client on a pair of pipes/)
})

t.test('where others reach it', async t => {
  for (const good of ['a:1', '10.0.0.1:7892', '[::1]:65535', 'a.b-c_d:80']) t.ok(isAddress(good), good)
  for (const bad of ['a', ':80', 'a:0', 'a:65536', '0.0.0.0:80', '[::]:80', '::1:80', 'http://a:80', 'a b:80', ''])
    t.notOk(isAddress(bad), bad)
})

t.test('other options may not change them: that needs a restart', async t => {
  const before = { sharedStore: { url, keys: [Buffer.alloc(32, 1)] }, cluster }
  const read = { sharedStore: { url, keys: [Buffer.alloc(32, 1)] }, cluster: { listen: {}, keys: [KEY] } }
  t.doesNotThrow(() => checkLasting(before, read), 'the same, read again')
  t.doesNotThrow(() => checkLasting({}, {}))
  const refused = (now: Parameters<typeof checkLasting>[1], message: RegExp) =>
    t.throws(() => checkLasting(before, now), { name: 'TypeError', message })
  refused(
    { ...read, sharedStore: { ...read.sharedStore, keys: [Buffer.alloc(32, 2)] } },
    /^(?!.*geheim)store: .*restart/
  )
  refused({ ...read, cluster: { ...cluster, keys: [`${KEY}2`] } }, /^(?!.*geheim)cluster: .*restart/)
  refused({ sharedStore: read.sharedStore }, /^cluster: /)
  refused({}, /^store and cluster: /)
  t.throws(() => checkLasting({}, read), /^store and cluster: .*restart/)
})

t.test('two keys are the same where their bytes are', async t => {
  t.ok(sameOptions({ a: [Buffer.from('x')] }, { a: [Buffer.from('x')] }))
  t.notOk(sameOptions({ a: [Buffer.from('x')] }, { a: [Buffer.from('y')] }))
  t.notOk(sameOptions({ a: Buffer.from('x') }, { a: 'x' }))
})

t.test('their secrets are among those that are kept out of logs and tapes', async t => {
  const key = Buffer.alloc(32, 0xab)
  const sharedStore = { url: 'redis+sentinel://bob:p%40ss%3Aword@a:1,b:2/m', keys: [key] }
  const secrets = secretsOf({ target, sharedStore, cluster })
  for (const one of ['p%40ss%3Aword', 'p@ss:word', key.toString('hex'), key.toString('base64'), KEY])
    t.ok(secrets.includes(one), one)
  t.notOk(secrets.includes('bob'))
  t.same(secretsOf({ target, sharedStore: { url: 'redis://a/1' } }), [])
})
