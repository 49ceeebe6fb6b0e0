/** Much at once: what waits for one another takes no more than its own time, and harms nobody. */
import t, { type Test } from 'tap'
import { trackLeaks } from '../helpers/leaks.ts'
import { rawPost } from '../helpers/raw-client.ts'
import { initialize, legacyHeaders, notification, rpc } from '../helpers/rpc.ts'
import { byHand, type HandClient, handshake, type Json } from './hand-stage.ts'
import { down, type FrameFacts, notice, request, result, tapeOf, up } from './recording-door.ts'
import { replayDoor } from './replay-stage.ts'

const MANY = 5_000
const SAMPLING = { sampling: {} }
const question = (id: string): object => request(id, 'sampling/createMessage', { messages: [], maxTokens: 1 })
const call = (id: number): object => request(id, 'tools/call', { name: `t${id}` })
const log = (data: number): FrameFacts => down('stdio', notice('notifications/message', { level: 'info', data }))
const answer = (id: number): FrameFacts => down('stdio', result(id, { id }))
const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1)

function pipeTape(t: Test, frames: readonly FrameFacts[], capabilities: object = {}): string {
  const all = [...handshake(capabilities, 'stdio'), ...frames]
  return tapeOf(
    t,
    all.map(frame => ({ session: 's1', ...frame }))
  )
}

/** All were asked at once, and each answer has a message of the session at large before it. */
const overlapping = (count: number): FrameFacts[] => [
  ...numbers(count).map(id => up('stdio', call(id))),
  ...numbers(count).flatMap(id => [log(id), answer(id)])
]

async function come({ heard }: HandClient, id: number): Promise<Json[]> {
  await heard.until(m => m.id === id && m.method === undefined, { timeoutMs: 60_000 })
  return heard.items.filter(m => m.id !== 'begin')
}

t.test('calls that were all open at once come in their order', async t => {
  const client = await byHand(t, 'stdio', pipeTape(t, overlapping(MANY)))
  for (const id of numbers(MANY)) void client.say(call(id))
  const told = await come(client, MANY)
  t.strictSame(
    told.map(({ id, params }) => id ?? -Number(params?.data)),
    numbers(MANY).flatMap(id => [-id, id])
  )
  t.match(client.door.replay, { misses: 0 })
})

t.test('calls behind a question that is open go on when it is answered', async t => {
  const file = pipeTape(
    t,
    [
      up('stdio', call(1)),
      down('stdio', question('q')),
      up('stdio', result('q', { role: 'assistant' })),
      answer(1),
      ...numbers(MANY).flatMap(n => [up('stdio', call(n + 1)), answer(n + 1)])
    ],
    SAMPLING
  )
  const client = await byHand(t, 'stdio', file, { capabilities: SAMPLING })
  for (const id of numbers(MANY + 1)) void client.say(call(id))
  const { id } = await client.heard.until(m => m.method === 'sampling/createMessage')
  t.equal(client.heard.items.filter(m => m.result).length, 1, 'the handshake alone')
  void client.say(result(id, { role: 'assistant' }))
  // Answers may overtake one another.
  await come(client, 1)
  const told = await come(client, MANY + 1)
  t.equal(new Set(told.filter(m => m.result).map(m => m.id)).size, MANY + 1)
})

t.test('notifications with something behind each are told in order, in time', async t => {
  const NOTES = 20_000
  const note = notification('notifications/roots/list_changed')
  const file = pipeTape(t, [
    ...numbers(NOTES).flatMap(n => [up('stdio', note), log(n), log(n + 0.5)]),
    up('stdio', call(1)),
    answer(1)
  ])
  const client = await byHand(t, 'stdio', file)
  const before = process.cpuUsage()
  for (const n of numbers(NOTES)) {
    void client.say(note)
    if (n % 1_000 === 0) await new Promise(resolve => setImmediate(resolve))
  }
  void client.say(call(1))
  const told = await come(client, 1)
  const { user, system } = process.cpuUsage(before)
  t.strictSame(
    told.map(({ id, params }) => id ?? params?.data),
    [...numbers(NOTES).flatMap(n => [n, n + 0.5]), 1]
  )
  t.ok(user + system < 8_000_000, `${(user + system) / 1e6} s`)
})

t.test('a batch of a thousand is answered, and other clients are', async t => {
  trackLeaks(t)
  const file = pipeTape(t, overlapping(1_000))
  const older = file.replace('a.tape', 'older.tape')
  const { readFileSync, writeFileSync } = await import('node:fs')
  writeFileSync(older, readFileSync(file, 'utf8').replaceAll('2025-11-25', '2025-03-26'))
  const door = await replayDoor(t, older)
  const begin = async (): Promise<Record<string, string>> => {
    const begun = await rawPost(door.url!, initialize(0, '2025-03-26'))
    return legacyHeaders(begun.headers['mcp-session-id'] as string, '2025-03-26')
  }
  const [one, other] = [await begin(), await begin()]
  const whole = await rawPost(door.url!, numbers(1_000).map(call), one)
  t.equal(whole.text.split('"result"').length - 1, 1_000)
  const alone = await rawPost(door.url!, rpc(1, 'tools/call', { name: 't1' }), other)
  t.match(alone.text, /"result"/)
})
