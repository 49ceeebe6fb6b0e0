import { readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { validateTape } from '../src/tape/validate.ts'
import { trackLeaks } from './helpers/leaks.ts'
import { spawnPeer } from './helpers/stdio-peer.ts'

const DEMO = fileURLToPath(new URL('../examples/demo.ts', import.meta.url))
const MINUTE = { timeoutMs: 60_000 }

function demo(test: Test, env: Record<string, string> = {}) {
  trackLeaks(test)
  const before = new Set(demoFolders())
  test.teardown(() => {
    for (const folder of demoFolders()) if (!before.has(folder)) rmSync(folder, { recursive: true })
  })
  return spawnPeer([process.execPath, '--no-warnings', DEMO], { env })
}

t.test('it converses over both transports, shows what was recorded, and ends by itself', async t => {
  const run = demo(t)
  const { code } = await run.exit
  t.equal(code, 0, run.stderr.items.join('\n'))
  const said = run.stdout.items.join('\n')
  for (const step of [
    'listed',
    'called a tool',
    'progress 5 times',
    'sampling',
    'elicitation',
    'subscribed',
    'cancelled'
  ])
    t.equal(said.split('\n').filter(line => line.includes('✓') && line.includes(step)).length >= 2, true, step)
  for (const line of [
    /client → tools\/call echo #\d+ \{"message":"hello"\}/,
    /client ← elicitation\/create/,
    /stdio client →/
  ])
    t.match(said, line, 'the timeline shows it')
  const folder = /tapes lie in (.*)$/m.exec(said)?.[1] ?? ''
  t.same(readdirSync(folder).sort(), ['http.tape.jsonl', 'stdio.tape.jsonl'])
  for (const name of readdirSync(folder)) {
    const findings = []
    for await (const finding of validateTape(path.join(folder, name))) findings.push(finding)
    t.same(findings, [], `${name} is a valid tape`)
  }
})

t.test('without its server it says why, exits with 1 and leaves nothing behind', async t => {
  const run = demo(t, { CATFLAP_DEMO_SERVER: path.join(tmpdir(), 'no-such-server.js') })
  t.equal((await run.exit).code, 1)
  t.match(run.stderr.items.join('\n'), /The demo failed: the server ended with code 1/)
})

const skip = process.platform === 'win32' && 'Windows has no signals to send'

t.test('Ctrl-C ends it and everything it started', { skip }, async t => {
  for (const step of [/catflap listens on/, /2\. Over stdio/]) {
    const run = demo(t)
    await run.stdout.until(line => step.test(line), MINUTE)
    run.proc.kill('SIGINT')
    t.equal((await run.exit).code, 130)
  }
})

function demoFolders(): string[] {
  return readdirSync(tmpdir())
    .filter(name => name.startsWith('catflap-demo-'))
    .map(name => path.join(tmpdir(), name))
}
