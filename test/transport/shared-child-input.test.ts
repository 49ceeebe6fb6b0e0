/** A child that does not read for a while, and several clients who have something to say to it. */
import t, { type Test } from 'tap'
import { type PeerOptions, sharedPeer } from './shared-child-peer.ts'

/** Answers each request and says its id on stderr. At `stop` it reads no more, until SIGUSR2. */
const CODE = `
  let text = ''
  process.on('SIGUSR2', () => process.stdin.resume())
  process.stdin.on('end', () => process.exit())
  setInterval(() => {}, 1 << 30)
  process.stderr.write('pid ' + process.pid + '\\n')
  process.stdin.setEncoding('utf8').on('data', chunk => {
    const lines = (text + chunk).split('\\n')
    text = lines.pop()
    for (const line of lines) {
      const { id, method } = JSON.parse(line)
      process.stderr.write('seen ' + (id ?? method) + '\\n')
      if (method === 'stop') process.stdin.pause()
      else if (id !== undefined) process.stdout.write(JSON.stringify({ jsonrpc: '2.0', id, result: {} }) + '\\n')
    }
  })`

/** A shared child whose pipe is full. */
async function stopped(t: Test, options: PeerOptions = {}) {
  const peer = sharedPeer(t, [process.execPath, '-e', CODE], { era: 'modern', ...options })
  const { shared, log, call } = peer
  await shared.ready()
  const pid = Number((await log.until(l => l.startsWith('pid'))).slice(4))
  call(shared.leg('z'), { jsonrpc: '2.0', method: 'stop' })
  await log.until(l => l === 'seen stop')
  const filler = call(shared.leg('z'), {
    jsonrpc: '2.0',
    id: 'filler',
    method: 'do',
    params: { pad: 'x'.repeat(500_000) }
  })
  const say = (client: string, id: string, bytes = 0) =>
    call(shared.leg(client), { jsonrpc: '2.0', id, method: 'do', params: { pad: 'x'.repeat(bytes) } })
  const goOn = () => process.kill(pid, 'SIGUSR2')
  return { ...peer, filler, say, goOn }
}

const skip = process.platform === 'win32' && 'a signal tells the child to read on'

t.test('clients take turns: one with much to say does not keep others waiting', { skip }, async t => {
  const { log, say, goOn } = await stopped(t)
  const calls = ['a1', 'a2', 'a3', 'b1', 'b2', 'c1'].map(id => say(id[0]!, id))
  goOn()
  for (const { log: heard } of calls) t.match(await heard.next(), /^last/)
  await log.until(l => l === 'seen a3')
  const order = log.items.filter(l => l.startsWith('seen') && l !== 'seen stop').map(l => l.slice(5))
  t.same(order, ['filler', 'a1', 'b1', 'c1', 'a2', 'b2', 'a3'])
})

t.test('who has more waiting than may wait is refused, and nobody else', { skip }, async t => {
  const { filler, say, goOn } = await stopped(t, { maxQueue: 10_000 })
  const first = say('a', 'a1', 6_000)
  t.equal(await say('a', 'a2', 6_000).log.next(), 'error upstream_queue_full')
  const other = say('b', 'b1', 6_000)
  t.equal(await say('c', 'c1', 20_000).log.next(), 'error upstream_queue_full', 'more at once than may wait')
  goOn()
  for (const { log: heard } of [filler, first, other]) t.match(await heard.next(), /^last/)
  t.match(await say('a', 'a3').log.next(), /^last/, 'and from then on everybody is served')
})

t.test('all clients together may have four times as much waiting', { skip }, async t => {
  const { filler, say, goOn } = await stopped(t, { maxQueue: 10_000 })
  const waiting = ['a1', 'b1', 'c1', 'd1'].map(id => say(id[0]!, id, 9_000))
  t.equal(await say('e', 'e1', 9_000).log.next(), 'error upstream_queue_full')
  waiting[3]!.handle.cancel('client-gone')
  const fits = say('f', 'f1', 9_000)
  goOn()
  for (const { log: heard } of [filler, ...waiting.slice(0, 3), fits]) t.match(await heard.next(), /^last/)
})

t.test('what is cancelled before it was written never is', { skip }, async t => {
  const { log, say, goOn } = await stopped(t, { maxQueue: 10_000 })
  const gone = say('a', 'gone', 6_000)
  gone.handle.cancel('client-gone')
  const stays = say('a', 'stays', 6_000)
  goOn()
  t.match(await stays.log.next(), /^last/, 'its room is free again')
  t.notOk(log.items.some(l => l === 'seen gone' || l.includes('cancelled')))
  t.equal(gone.log.items.length, 0)
})

t.test('when the child ends, so does what waited for it', { skip }, async t => {
  const { shared, say } = await stopped(t)
  const waiting = say('a', 'a1')
  const [, closed] = await Promise.all([waiting.log.next(), shared.close()])
  t.equal(closed, undefined)
  t.equal(waiting.log.items.length, 1)
})
