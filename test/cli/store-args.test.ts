/** Several catflaps, on the command line: files, variables, what goes with what; and no secret is ever said. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import t, { type Test } from 'tap'
import { sharingOf } from '../../src/cli/store-args.ts'
import type { StoreArgs } from '../../src/cli/store-options.ts'
import { CA } from '../fixtures/tls/certificates.ts'
import { runCatflap, startCatflap } from '../helpers/catflap.ts'
import { trackLeaks } from '../helpers/leaks.ts'

const NONE: StoreArgs = { 'store-key': [], 'store-insecure': false, 'cluster-key': [] }
const HEX = 'a1'.repeat(32)
const BYTES = Buffer.from(HEX, 'hex')
const TEXT = 'geheim-geheim-geheim-geheim-geheim'

function filesOf(t: Test): Record<'hex' | 'base64' | 'url' | 'text' | 'short' | 'ca' | 'none', string> {
  const dir = mkdtempSync(path.join(tmpdir(), 'catflap-store-'))
  t.teardown(() => rmSync(dir, { recursive: true }))
  const contents = {
    hex: `${HEX}\n`,
    base64: BYTES.toString('base64'),
    url: `${BYTES.toString('base64url')}\r\n`,
    text: `${TEXT}\n`,
    short: 'geheim',
    ca: CA
  }
  const at = (name: string) => path.join(dir, name)
  for (const [name, content] of Object.entries(contents)) writeFileSync(at(name), content)
  return { ...Object.fromEntries(Object.keys(contents).map(name => [name, at(name)])), none: at('none') } as never
}

t.test('nothing is shared unless that is said', async t => {
  t.same(sharingOf(NONE, {}), {})
  t.same(sharingOf(NONE, { CATFLAP_STORE_KEY: HEX, CATFLAP_CLUSTER_KEY: TEXT, CATFLAP_STORE_URL: '' }), {})
})

t.test('everything at once', async t => {
  const files = filesOf(t)
  const given: StoreArgs = {
    store: 'rediss://a:1/2',
    'store-key': [files.hex, files.base64, files.url],
    'store-prefix': 'x:',
    'store-ca': files.ca,
    'store-insecure': true,
    'store-timeout': '250ms',
    'store-failure': 'local',
    lease: '1m',
    'cluster-listen': '0.0.0.0:7892',
    'cluster-address': 'catflap-1:7892',
    'cluster-key': [files.text]
  }
  t.same(sharingOf(given, { CATFLAP_STORE_KEY: 'b2'.repeat(32), CATFLAP_CLUSTER_KEY: `${TEXT}2` }), {
    sharedStore: {
      url: 'rediss://a:1/2',
      keys: [BYTES, BYTES, BYTES, Buffer.alloc(32, 0xb2)],
      prefix: 'x:',
      ca: CA,
      insecure: true,
      timeout: 250,
      onFailure: 'local',
      lease: 60_000
    },
    cluster: { listen: { host: '0.0.0.0', port: 7892 }, keys: [TEXT, `${TEXT}2`], address: 'catflap-1:7892' }
  })
})

t.test('the address comes from the environment where the arguments have none', async t => {
  const env = { CATFLAP_STORE_URL: 'redis://:geheim@a' }
  t.equal(sharingOf(NONE, env).sharedStore?.url, 'redis://:geheim@a')
  t.equal(sharingOf({ ...NONE, store: 'redis://b' }, env).sharedStore?.url, 'redis://b')
  t.throws(() => sharingOf(NONE, { CATFLAP_STORE_URL: 'geheim' }), /^(?!.*geheim)CATFLAP_STORE_URL: a store is redis:/)
})

t.test('what makes no sense is refused by its name, without what is secret', async t => {
  const files = filesOf(t)
  const store = { store: 'redis://u:geheim@a' }
  const inCluster = { ...store, 'cluster-listen': '7892', 'cluster-key': [files.text] }
  const wrong: [given: Partial<StoreArgs>, message: RegExp, env?: Record<string, string>][] = [
    [{ store: 'http://u:geheim@a' }, /--store: a store is redis:\/\//],
    [{ 'store-key': [files.hex] }, /--store-key goes with --store redis:/],
    [{ lease: '5s' }, /--lease goes with --store/],
    [{ 'cluster-listen': '7892' }, /--cluster-listen goes with --store/],
    [{ 'store-insecure': true }, /--store-insecure goes with --store/],
    [{ ...store, 'store-key': [files.none] }, /--store-key .*none cannot be read: ENOENT/],
    [{ ...store, 'store-key': [files.short] }, /--store-key .*short holds no key; it is 32 bytes, as 64 hex/],
    [store, /CATFLAP_STORE_KEY holds no key; it is 32 bytes/, { CATFLAP_STORE_KEY: 'geheim' }],
    [{ ...store, 'store-insecure': true }, /--store-insecure goes with rediss:/],
    [{ ...store, 'store-ca': files.ca }, /--store-ca goes with rediss:/],
    [{ store: 'rediss://a', 'store-ca': files.none }, /--store-ca .*cannot be read/],
    [{ store: 'rediss://a', 'store-ca': files.hex }, /--store-ca .*BEGIN CERTIFICATE/],
    [{ ...store, 'store-prefix': 'a{b}' }, /--store-prefix 'a\{b\}': give .*braces/],
    [{ ...store, 'store-timeout': 'soon' }, /--store-timeout soon: /],
    [{ ...store, 'store-timeout': '2m' }, /--store-timeout 2m: give 10ms to 1m/],
    [{ ...store, lease: '500ms' }, /--lease 500ms: give 1s to 10m/],
    [{ ...store, lease: '11m' }, /--lease 11m: give 1s to 10m/],
    [{ ...store, 'cluster-key': [files.text] }, /--cluster-key goes with --cluster-listen/],
    [{ ...store, 'cluster-address': 'a:1' }, /--cluster-address goes with --cluster-listen/],
    [{ ...store, 'cluster-listen': '7892' }, /--cluster-listen needs --cluster-key FILE \(or CATFLAP_CLUSTER_KEY\)/],
    [{ ...inCluster, 'cluster-listen': 'here' }, /--cluster-listen 'here' is no address/],
    [{ ...inCluster, 'cluster-listen': '0.0.0.0:1' }, /--cluster-listen 0\.0\.0\.0:1: add --cluster-address HOST:PORT/],
    [{ ...inCluster, 'cluster-listen': '[::]:1' }, /--cluster-listen \[::\]:1: add --cluster-address/],
    [{ ...inCluster, 'cluster-address': 'a' }, /--cluster-address 'a': write HOST:PORT/],
    [{ ...inCluster, 'cluster-key': [files.short] }, /--cluster-key .*short holds no key; it is a text of 32/],
    [inCluster, /CATFLAP_CLUSTER_KEY holds no key/, { CATFLAP_CLUSTER_KEY: 'geheim' }]
  ]
  for (const [given, message, env = {}] of wrong)
    t.throws(
      () => sharingOf({ ...NONE, ...given }, env),
      { name: 'UsageError', message: new RegExp(`^(?!.*geheim).*${message.source}`) },
      String(message)
    )
})

t.test('commands know the options, and say what does not go together', async t => {
  trackLeaks(t)
  const url = 'http://127.0.0.1:9/mcp'
  const said = async (args: readonly string[], env?: Record<string, string>): Promise<string> => {
    const run = runCatflap(args, { json: false, env })
    t.equal((await run.exit).code, 2, args.join(' '))
    return run.stderr.items.join('\n')
  }
  t.match(await said(['forward', '--store-failure', 'maybe', url]), /--store-failure maybe: give one of fail, local/)
  t.match(
    await said(['forward', '--stdio', '--store', 'redis://u:geheim@a', url]),
    /^(?!.*geheim)catflap: --store and --stdio exclude each other/
  )
  t.match(await said(['forward', '--lease', '3s', url]), /--lease goes with --store/)
  t.match(await said(['reverse', '--store', 'redis:a', `a=${url}`]), /--store: a store is redis:/)
  t.match(
    await said(['reverse', '--config', 'x.yaml', '--store', 'redis://a']),
    /--store and --config exclude each other/
  )
})

t.test('a password among the arguments is warned of; no secret is in the log', async t => {
  trackLeaks(t)
  const files = filesOf(t)
  const secrets = ['geheimes-wort', HEX, TEXT]
  const args = ['--listen', '127.0.0.1:0', '--log-level', 'debug', '--store-timeout', '100ms', '--store-key', files.hex]
  const peers = ['--cluster-listen', '127.0.0.1:0', '--cluster-key', files.text]
  const run = async (command: string, target: string, store: string[], env = {}) => {
    const catflap = await startCatflap([command, ...store, ...args, ...peers, target], { env })
    t.equal((await catflap.close()).code, 0)
    const log = catflap.stderr.items.join('\n')
    for (const secret of secrets) t.notOk(log.includes(secret), secret)
    return log
  }
  const store = 'redis://:geheimes-wort@127.0.0.1:1'
  const url = 'http://127.0.0.1:9/mcp'
  t.match(await run('forward', url, ['--store', store]), /"event":"store-password"/)
  t.notMatch(await run('forward', url, [], { CATFLAP_STORE_URL: store }), /store-password/)
  t.match(await run('reverse', `a=${url}`, ['--store', store]), /"event":"store-password"/)
})
