/** Room that was made for one who waits is not taken by another who came later. */
import t, { type Test } from 'tap'
import type { CommandRoute } from '../../src/proxy/reverse-options.ts'
import { rawPost } from '../helpers/raw-client.ts'
import { initialize, modern, modernHeaders, rpc } from '../helpers/rpc.ts'
import { pipeDoor, pipeSession } from './pipe-door.ts'

/** Speaks both eras, and takes its time to end. */
const SLOW_TO_END = `
  const lines = require('node:readline').createInterface({ input: process.stdin })
  lines.on('line', line => {
    const { id, method } = JSON.parse(line)
    if (id === undefined) return
    const serverInfo = { name: 'x', version: '1' }
    const old = { protocolVersion: '2025-11-25', capabilities: {}, serverInfo }
    const found = { resultType: 'complete', supportedVersions: ['2026-07-28'], capabilities: {}, serverInfo }
    const result = method === 'initialize' ? old : method === 'server/discover' ? found : { resultType: 'complete' }
    console.log(JSON.stringify({ jsonrpc: '2.0', id, result }))
  })
  lines.on('close', () => setTimeout(() => {}, 400))`

function later(t: Test, ms: number): void {
  const now = performance.now.bind(performance)
  t.intercept(performance, 'now', { value: () => now() + ms })
}

t.test('a request with logs, for which an idle session was ended, has its child before a new session', async t => {
  const target = { command: process.execPath, args: ['-e', SLOW_TO_END], maxChildren: 2 } as CommandRoute
  const settings = { killAfter: 3_000, requestTimeout: 20_000 }
  const { url, door } = await pipeDoor(t, 'puppet-stdio.ts', { target, settings })
  const ask = (n: number, meta: Record<string, unknown> = {}) => {
    const message = modern(rpc(n, 'tools/list'), {}, meta)
    return rawPost(url, message, modernHeaders(message))
  }
  t.equal((await ask(1)).status, 200)
  await pipeSession(url)
  later(t, 61_000)
  const logged = ask(2, { 'io.modelcontextprotocol/logLevel': 'debug' })
  while (door.stats.sessions > 0) await new Promise(resolve => setImmediate(resolve))
  const late = rawPost(url, initialize())
  t.equal((await logged).status, 200)
  t.match((await late).status, /^(?:200|503)$/, 'it makes room of its own, or is told that there is none')
})
