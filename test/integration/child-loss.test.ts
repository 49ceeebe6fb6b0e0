/** A session whose child has ended, where that is to be no end: the next call starts another. */
import t from 'tap'
import type { Interceptor } from '../../src/index.ts'
import { rpc } from '../helpers/rpc.ts'
import { scrapeOf } from '../metrics/scrape.ts'
import { pipeDoor, pipeSession, question } from './pipe-door.ts'

const ON = { sessionLoss: 'reinitialize', metrics: true } as const
const DIE = { answer: false, exit: 3 }

t.test('what was written to the child that ended fails; the next call goes to another one', async t => {
  const { url, door, log } = await pipeDoor(t, 'puppet-stdio.ts', ON)
  const s = await pipeSession(url)
  const [waits, dies] = await Promise.all([s.post(rpc(1, 'do', { answer: false })), s.post(rpc(2, 'do', DIE))])
  for (const answer of [waits, dies]) {
    t.equal(answer.status, 502)
    t.match(answer.json(), { error: { data: { code: 'child_exited', exitCode: 3 } } })
  }
  t.equal(door.stats.sessions, 1)
  const answers = await Promise.all([3, 4, 5].map(n => s.post(rpc(n, 'do', { n }))))
  for (const [i, answer] of answers.entries()) t.match(answer.json(), { id: i + 3, result: { echo: { n: i + 3 } } })
  const methods = log.seen.map(line => (JSON.parse(line) as { method: string }).method)
  t.equal(methods.filter(m => m === 'initialize').length, 2)
  t.equal(methods.filter(m => m === 'notifications/initialized').length, 1)
  t.equal(methods.filter(m => m === 'do').length, 5, 'nothing is written twice')
  t.equal(scrapeOf(door).sum('catflap_session_reinitializations_total', { catflap_session_outcome: 'kept' }), 1)
})

t.test('log level and subscriptions go with it, the stream stays open, and late answers reach nobody', async t => {
  const { url, log } = await pipeDoor(t, 'puppet-stdio.ts', ON)
  const s = await pipeSession(url)
  const stream = await s.listen()
  await s.post(rpc(1, 'logging/setLevel', { level: 'error' }))
  await s.post(rpc(2, 'resources/subscribe', { uri: 'a:1' }))
  t.match((await s.post(rpc(3, 'do', { write: question(0) }))).text, 'sampling/createMessage')
  await s.post(rpc(4, 'do', DIE))
  const before = log.seen.length
  t.equal((await s.post(rpc(5, 'do'))).status, 200)
  const said = log.seen.slice(before).map(line => JSON.parse(line) as { method: string; params?: object })
  t.match(said.find(m => m.method === 'logging/setLevel')?.params, { level: 'error' })
  t.match(said.find(m => m.method === 'resources/subscribe')?.params, { uri: 'a:1' })
  t.equal(said.at(-1)?.method, 'do')
  t.equal((await s.post({ jsonrpc: '2.0', id: 0, result: {} })).status, 202)
  // Behind the answer, so that it belongs to no call.
  const answer = `${JSON.stringify({ jsonrpc: '2.0', id: 6, result: {} })}\n`
  await s.post(rpc(6, 'do', { write: answer + question(1), answer: false }))
  t.match(await stream.nextMessage(), { id: 1 })
  t.notOk(log.seen.some(line => line.includes('"result"')))
  stream.close()
})

t.test('hooks and tapes are none the wiser', async t => {
  const seen: string[] = []
  const spy: Interceptor = {
    name: 'spy',
    message(_, m) {
      seen.push(m.method ?? 'answer')
      return m
    }
  }
  const { url } = await pipeDoor(t, 'puppet-stdio.ts', { ...ON, interceptors: [spy] })
  const s = await pipeSession(url)
  await s.post(rpc(1, 'do', DIE))
  t.equal((await s.post(rpc(2, 'do'))).status, 200)
  t.equal(seen.filter(m => m === 'initialize').length, 1)
})

t.test('by default the session ends with its child', async t => {
  const { url, door } = await pipeDoor(t, 'puppet-stdio.ts')
  const s = await pipeSession(url)
  await s.post(rpc(1, 'do', DIE))
  t.equal((await s.post(rpc(2, 'do'))).status, 404)
  t.equal(door.stats.sessions, 0)
})

t.test('a child that ends before it has answered initialize begins no session', async t => {
  const { url, door } = await pipeDoor(t, 'raw-stdio.ts', { ...ON, args: ['--die-on', 'initialize'] })
  await t.rejects(pipeSession(url), /502/)
  t.equal(door.stats.sessions, 0)
})

t.test('another server than before: 404', async t => {
  const file = t.testdir({ 'version.txt': '1' })
  const code = `
    const { readFileSync } = require('node:fs')
    require('node:readline').createInterface({ input: process.stdin }).on('line', line => {
      const { id, method } = JSON.parse(line)
      if (id === undefined) return
      if (method === 'die') process.exit(1)
      const version = readFileSync(process.argv[1] + '/version.txt', 'utf8')
      const result = { protocolVersion: '2025-11-25', capabilities: {}, serverInfo: { name: 'x', version } }
      console.log(JSON.stringify({ jsonrpc: '2.0', id, result }))
    })`
  const target = { command: process.execPath, args: ['-e', code, file] }
  const { url, door } = await pipeDoor(t, 'puppet-stdio.ts', { ...ON, target })
  const s = await pipeSession(url)
  await s.post(rpc(1, 'die'))
  t.equal((await s.post(rpc(2, 'ping'))).status, 200)
  await s.post(rpc(3, 'die'))
  const { writeFileSync } = await import('node:fs')
  writeFileSync(`${file}/version.txt`, '2')
  t.equal((await s.post(rpc(4, 'ping'))).status, 404)
  t.equal(door.stats.sessions, 0)
  t.ok((await pipeSession(url)).id)
})

/** After `die` the next child does `code` in place of an answer to `method`. */
function relapsing(flag: string, method: string, code: string) {
  const script = `
    const fs = require('node:fs')
    const flag = process.argv[1] + '/died'
    require('node:readline').createInterface({ input: process.stdin }).on('line', line => {
      const { id, method } = JSON.parse(line)
      if (id === undefined) return
      if (method === 'die') { fs.writeFileSync(flag, ''); process.exit(3) }
      if (method === '${method}' && fs.existsSync(flag)) { fs.rmSync(flag); ${code} }
      const serverInfo = { name: 'x', version: '1' }
      const result = { protocolVersion: '2025-11-25', capabilities: { logging: {} }, serverInfo }
      console.log(JSON.stringify({ jsonrpc: '2.0', id, result }))
    })`
  return { command: process.execPath, args: ['-e', script, flag] }
}

t.test('a child that ends while the session is restored on it is no child to go on with: 404', async t => {
  const target = relapsing(t.testdir({}), 'logging/setLevel', 'process.exit(7)')
  const { url, door } = await pipeDoor(t, 'puppet-stdio.ts', { ...ON, target })
  const s = await pipeSession(url)
  t.equal((await s.post(rpc(1, 'logging/setLevel', { level: 'error' }))).status, 200)
  await s.post(rpc(2, 'die'))
  t.equal((await s.post(rpc(3, 'ping'))).status, 404)
  t.equal(door.stats.sessions, 0)
  t.ok((await pipeSession(url)).id)
})

t.test('one deadline holds for all of it', async t => {
  for (const method of ['initialize', 'resources/subscribe']) {
    const target = relapsing(t.testdir({}), method, 'fs.writeFileSync(flag, ""); return')
    const { url, door } = await pipeDoor(t, 'puppet-stdio.ts', { ...ON, target, settings: { requestTimeout: 2_000 } })
    const s = await pipeSession(url)
    for (let n = 0; n < 20; n++) await s.post(rpc(n, 'resources/subscribe', { uri: `a:${n}` }))
    await s.post(rpc(20, 'die'))
    const before = performance.now()
    t.equal((await s.post(rpc(21, 'ping'))).status, 404)
    t.ok(performance.now() - before < 3_900, 'and not once for each of 20')
    t.equal(door.stats.sessions, 0)
  }
})
