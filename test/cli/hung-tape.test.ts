/** A tape that takes nothing (a FIFO whose reader does not read stands for a dead disk) must not make catflap unstoppable. */
import { spawnSync } from 'node:child_process'
import { closeSync, constants, openSync } from 'node:fs'
import path from 'node:path'
import t, { type Test } from 'tap'
import { runCatflap, startCatflap } from '../helpers/catflap.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { rawPost } from '../helpers/raw-client.ts'
import { initialize, legacyHeaders, rpc } from '../helpers/rpc.ts'
import { fixtureArgv } from '../helpers/stdio-peer.ts'
import { within } from '../helpers/wait.ts'
import { folderOf } from '../tape/fixtures.ts'

const POSIX = { skip: process.platform === 'win32' && 'there are no FIFOs' }
const PUPPET = fixtureArgv('puppet-stdio.ts')

async function fifo(t: Test): Promise<string> {
  const file = path.join(await folderOf(t), 'hung.fifo')
  t.equal(spawnSync('mkfifo', [file]).status, 0)
  return file
}

t.test('nobody opens the tape for reading: the start fails in time and says so', POSIX, async t => {
  trackLeaks(t)
  const file = await fifo(t)
  const catflap = runCatflap(['forward', '--no-tail', '--listen', '0', '--record', file, '--', ...PUPPET])
  t.teardown(() => catflap.kill9())
  const event = await catflap.events.until(e => e.event === 'failed', { timeoutMs: 25_000 })
  t.match(event.text, /cannot record to .*hung\.fifo: it could not be opened within 5000 ms/)
  const { code } = await within(catflap.exit)
  t.not(code, 0)
})

t.test('the tape hangs while traffic passes: a warning, and two signals end it with its children', POSIX, async t => {
  trackLeaks(t)
  const file = await fifo(t)
  const reader = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK)
  t.teardown(() => closeSync(reader))
  const args = ['forward', '--no-tail', '--listen', '0', '--record', file, '--log-level', 'debug', '--', ...PUPPET]
  const catflap = await startCatflap(args)
  t.teardown(() => catflap.kill9())
  const opened = await rawPost(catflap.url, initialize(0))
  const headers = legacyHeaders(String(opened.headers['mcp-session-id']))
  const pad = 'x'.repeat(7_000_000)
  const pending: Promise<unknown>[] = []
  for (let id = 1; id <= 7; id++) pending.push(rawPost(catflap.url, rpc(id, 'do', { pad }), headers).catch(() => {}))
  t.match(await catflap.events.until(e => e.event === 'recording-stalled', { timeoutMs: 25_000 }), { level: 'warn' })
  catflap.proc.kill('SIGTERM')
  await catflap.events.until(e => e.event === 'stopping')
  catflap.proc.kill('SIGTERM')
  t.same(await within(catflap.exit), { code: null, signal: 'SIGKILL' })
  await Promise.all(pending)
})
