/** Whoever reads what catflap prints may go first: it goes on serving, and it ends when it is told to. */
import t from 'tap'
import { runCatflap, startCatflap } from '../helpers/catflap.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { rawPost } from '../helpers/raw-client.ts'
import { initialize, rpc } from '../helpers/rpc.ts'
import { fixtureArgv } from '../helpers/stdio-peer.ts'
import { waitFor, within } from '../helpers/wait.ts'

const PUPPET = fixtureArgv('puppet-stdio.ts')

/** Every answer costs a line on stderr. */
const LOUD = ['--log-level', 'debug']

t.test('a client that closed our stderr is served, and takes catflap with it when it goes', async t => {
  trackLeaks(t)
  const catflap = runCatflap(['forward', '--no-tail', '--stdio', ...LOUD, '--', ...PUPPET])
  t.teardown(() => catflap.kill9())
  catflap.proc.stderr.destroy()
  catflap.send(initialize(0))
  t.match(await catflap.nextMessage(), { id: 0, result: {} })
  for (let id = 1; id <= 5; id++) {
    catflap.send(rpc(id, 'do'))
    t.match(await catflap.nextMessage(), { id, result: {} })
  }
  catflap.proc.stdin.end()
  t.same(await within(catflap.exit), { code: 0, signal: null })
})

t.test('over HTTP, stdout and stderr may both be closed', async t => {
  trackLeaks(t)
  const catflap = await startCatflap(['forward', '--no-tail', '--listen', '0', ...LOUD, '--', ...PUPPET])
  t.teardown(() => catflap.kill9())
  for (const stream of [catflap.proc.stderr, catflap.proc.stdout]) {
    const closed = waitFor(stream, 'close')
    stream.destroy()
    await closed
  }
  for (let id = 0; id < 3; id++) t.equal((await rawPost(catflap.url, initialize(id))).status, 200)
  t.same(await catflap.close(), { code: 0, signal: null })
})

t.test('forward … | true is no fault', async t => {
  trackLeaks(t)
  const catflap = runCatflap(['forward', '--no-tail', '--listen', '0', ...LOUD, 'http://127.0.0.1:9/mcp'], {
    json: false
  })
  t.teardown(() => catflap.kill9())
  catflap.proc.stdout.destroy()
  // Said after it listens: see announce. A fault would end it by itself, with 1.
  await catflap.stderr.until(() => true).catch(() => {})
  t.same(await catflap.close(), { code: 0, signal: null })
})
