/** `catflap forward --metrics`, and what it costs without: nothing is loaded. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import t, { type Test } from 'tap'
import { runCatflap, startCatflap } from '../helpers/catflap.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { rawPost, rawRequest } from '../helpers/raw-client.ts'
import { initialize } from '../helpers/rpc.ts'
import { fixtureArgv } from '../helpers/stdio-peer.ts'
import { Scrape } from './scrape.ts'

const PUPPET = ['--', ...fixtureArgv('puppet-stdio.ts')]
const FORWARD = ['forward', '--no-tail', '--listen', '0']

t.test('it says where they are, and serves them', async t => {
  trackLeaks(t)
  const catflap = await startCatflap([...FORWARD, '--metrics', '0', '--metrics-max-names', '5', ...PUPPET])
  t.teardown(() => catflap.kill9())
  const listening = catflap.events.items.find(e => e.event === 'listening')
  t.match(listening?.metrics, /^http:\/\/127\.0\.0\.1:\d+\/metrics$/)
  await rawPost(catflap.url, initialize())
  const { text } = await rawRequest(String(listening?.metrics), { method: 'GET' })
  t.equal(new Scrape(text).sum('mcp_client_operation_duration_seconds_count', { mcp_method_name: 'initialize' }), 1)
  t.same(await catflap.close(), { code: 0, signal: null })

  const plain = runCatflap([...FORWARD, '--metrics', '[::1]:0', ...PUPPET], { json: false })
  t.teardown(() => plain.kill9())
  t.match(await plain.stdout.next(), /, metrics on http:\/\/\[::1\]:\d+\/metrics$/)
  await plain.close()
})

t.test('a token for clients is one for metrics', async t => {
  trackLeaks(t)
  const env = { CATFLAP_TOKEN: 'secret' }
  const catflap = await startCatflap([...FORWARD, '--metrics', '0.0.0.0:0', ...PUPPET], { env })
  t.teardown(() => catflap.kill9())
  const url = String(catflap.events.items.find(e => e.event === 'listening')?.metrics)
  t.equal((await rawRequest(url, { method: 'GET' })).status, 401)
  t.equal((await rawRequest(url, { method: 'GET', headers: { authorization: 'Bearer secret' } })).status, 200)
  await catflap.close()
})

for (const [args, message] of [
  [['--metrics', 'here'], /--metrics 'here' is no address; write --metrics 7890/],
  [['--metrics', '0.0.0.0:0'], /--metrics 0\.0\.0\.0: other machines can reach this; add --token/],
  [['--metrics-max-names', '5'], /--metrics-max-names goes with --metrics/],
  [['--metrics', '0', '--metrics-max-names', 'x'], /--metrics-max-names x: 'x' is no whole number/],
  [['--metrics', '0', '--metrics-max-names', '5000'], /--metrics-max-names 5000: at most 1000/]
] as const)
  t.test(`wrong usage: ${args.join(' ')}`, async t => {
    trackLeaks(t)
    const run = runCatflap([...FORWARD, ...args, ...PUPPET], { json: false })
    t.equal((await run.exit).code, 2)
    t.match(run.stderr.items.join('\n'), message)
  })

t.test('without --metrics nothing of metrics and OpenTelemetry is loaded; with it, both are', async t => {
  const watch = loadWatcher(t)
  for (const args of [[], ['--metrics', '0']]) {
    const catflap = await startCatflap([...FORWARD, ...args, ...PUPPET], { env: { NODE_OPTIONS: `--import=${watch}` } })
    t.teardown(() => catflap.kill9())
    await rawPost(catflap.url, initialize())
    await catflap.close()
    const loaded = catflap.stderr.items.filter(line => line.startsWith('loaded '))
    t.ok(
      loaded.some(line => line.includes('/src/proxy/forward.ts')),
      'loads are seen'
    )
    const ours = loaded.filter(line => line.includes('/src/metrics/'))
    const theirs = loaded.filter(line => line.includes('/@opentelemetry/'))
    t.equal(ours.length > 0, args.length > 0)
    t.equal(theirs.length > 0, args.length > 0)
  }
})

/** A module that tells every other module that is loaded. */
function loadWatcher(t: Test): string {
  const dir = mkdtempSync(path.join(tmpdir(), 'catflap-loads-'))
  t.teardown(() => rmSync(dir, { recursive: true }))
  const file = path.join(dir, 'watch.mjs')
  const source = `import { registerHooks } from 'node:module'
import { writeSync } from 'node:fs'
registerHooks({ load(url, context, next) { writeSync(2, 'loaded ' + url + '\\n'); return next(url, context) } })`
  writeFileSync(file, source)
  return pathToFileURL(file).href
}
