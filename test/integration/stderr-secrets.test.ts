/** A child's last words go to clients, log and tape: what is secret in them goes to none. */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { createForward } from '../../src/proxy/forward.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { rawPost } from '../helpers/raw-client.ts'
import { initialize } from '../helpers/rpc.ts'
import { folderOf } from '../tape/fixtures.ts'

const SECRETS = ['CANARY1q7zX9k', 'CANARY2q7zX9k', 'CANARY3q7zX9k']
const CHILD = `
console.error('Authorization: Bearer ${SECRETS[0]}')
console.error('api_key=${SECRETS[1]} postgres://bob:${SECRETS[2]}@db/x')
console.error('again: ${SECRETS.join(' ')}')
process.stdin.once('data', () => process.exit(3))`

t.test('secrets in the last lines of stderr reach neither the client nor the tape', async t => {
  trackLeaks(t)
  const file = path.join(await folderOf(t), 'a.tape.jsonl')
  const target = { command: process.execPath, args: ['-e', CHILD] }
  const proxy = await createForward({ target, record: { path: file } })
  const answer = await rawPost(proxy.url!, initialize(0))
  await proxy.close()
  const wire = JSON.stringify(answer.json())
  const tape = readFileSync(file, 'utf8').split('\n').slice(1).join('\n')
  t.match(wire, 'child_exited')
  t.match(wire, 'Bearer [redacted]'.slice(7))
  for (const secret of SECRETS) {
    t.notMatch(wire, secret)
    t.notMatch(tape, secret)
  }
})

t.test('a body that is no message is on tape as a beginning, with length and hash', async t => {
  trackLeaks(t)
  const file = path.join(await folderOf(t), 'a.tape.jsonl')
  const proxy = await createForward({ target: { url: 'http://127.0.0.1:9/mcp' }, record: { path: file } })
  const body = `{"jsonrpc":"2.0","id":1,"method":"x","params":{"pad":"${'x'.repeat(1_000_000)}"}} trailing`
  const headers = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' }
  t.equal((await fetch(proxy.url!, { method: 'POST', headers, body })).status, 400)
  await proxy.close()
  const frames = readFileSync(file, 'utf8').trim().split('\n').slice(1)
  const frame = frames.map(line => JSON.parse(line)).find(f => f.truncated)
  t.equal(frame.truncated.length, body.length)
  t.equal(frame.text, body.slice(0, 65_536))
})
