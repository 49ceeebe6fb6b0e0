/** What goes wrong on purpose: which requests it hits, and what their clients see. */
import { writeFileSync } from 'node:fs'
import fc from 'fast-check'
import t from 'tap'
import { parseDuration } from '../../src/proxy/options.ts'
import { Faults, parseFault } from '../../src/replay/faults.ts'
import { rawPost } from '../helpers/raw-client.ts'
import { initialize, rpc } from '../helpers/rpc.ts'
import { asked, byHand, httpTape } from './hand-stage.ts'
import { down, notice, request, result, sseHead, up } from './recording-door.ts'
import { replayDoor } from './replay-stage.ts'

const parse = (text: string) => parseFault(text, parseDuration)

t.test('faults as they are written', async t => {
  t.same(parse('drop:0.1'), { kind: 'drop', share: 0.1 })
  t.same(parse('drop'), { kind: 'drop', share: 1 })
  t.same(parse('delay:200ms:0.5'), { kind: 'delay', share: 0.5, ms: 200 })
  t.same(parse('delay:2s'), { kind: 'delay', share: 1, ms: 2000 })
  t.same(parse('error:.05'), { kind: 'error', share: 0.05 })
  t.same(parse('cut:3'), { kind: 'cut', share: 1, events: 3 })
  t.same(parse('tools/call=drop:0.2'), { kind: 'drop', share: 0.2, method: 'tools/call' })
  for (const wrong of [
    '',
    'drop:2',
    'drop:x',
    'delay',
    'delay:x',
    'cut',
    'cut:x',
    'cut:3:4',
    'error:1:2',
    'burn:1',
    '=drop'
  ])
    t.throws(() => parse(wrong), { name: 'TypeError', message: /tools\/call=delay:200ms:0\.5/ }, wrong)
})

t.test('a seed says which; shares are met', async t => {
  fc.assert(
    fc.property(fc.nat(), fc.double({ min: 0.1, max: 0.9, noNaN: true }), (seed, share) => {
      const hits = (): boolean[] => {
        const faults = new Faults([{ kind: 'drop', share }], seed)
        return Array.from({ length: 2000 }, (_, n) => faults.of('tools/call', n).length > 0)
      }
      const first = hits()
      t.same(hits(), first)
      const met = first.filter(Boolean).length / first.length
      return Math.abs(met - share) < 0.08
    }),
    { numRuns: 20 }
  )
  const one = new Faults([{ kind: 'drop', share: 0.5 }], 1)
  const two = new Faults([{ kind: 'drop', share: 0.5 }], 2)
  const of = (faults: Faults): string =>
    Array.from({ length: 64 }, (_, n) => faults.of('tools/call', n).length).join('')
  t.not(of(one), of(two))
})

t.test('what begins a session is spared where it is not named', async t => {
  const all = new Faults([{ kind: 'drop', share: 1 }], 1)
  t.same(
    ['initialize', 'ping', 'server/discover', 'tools/list'].map(m => all.of(m, 0).length),
    [0, 0, 0, 1]
  )
  t.equal(new Faults([{ kind: 'drop', share: 1, method: 'initialize' }], 1).of('initialize', 0).length, 1)
})

const listed = asked(1, 'tools/list', {}, { tools: [] })
const streamed = [
  up('post-2', request(2, 'tools/call', { name: 'log' })),
  sseHead('post-2'),
  ...[1, 2, 3].map(data => down('post-2', notice('notifications/message', { level: 'info', data }))),
  down('post-2', result(2, { content: [] }))
]

t.test('HTTP: dropped, answered with an error, late, cut', async t => {
  const file = httpTape(t, [...listed, ...streamed])
  const faulty = async (fault: string) => byHand(t, 'http', file, { faults: [parse(fault)], seed: 1 })
  const dropped = await faulty('drop')
  // Before or behind the head.
  const broken = await dropped.say(rpc(1, 'tools/list')).catch(() => ({ broke: true }))
  t.ok(broken.broke)
  t.match(dropped.door.replay, { faults: { drop: 1 }, seed: 1, misses: 0 })
  t.match(await dropped.log.until(l => l.event === 'replay-fault'), { text: /^drop on purpose: tools\/list .*:\d+\)$/ })
  const failed = await faulty('error')
  t.match(JSON.parse((await failed.say(rpc(1, 'tools/list'))).text), { id: 1, error: { code: -31_062 } })
  const late = await faulty('tools/list=delay:60ms')
  const began = performance.now()
  t.match(JSON.parse((await late.say(rpc(1, 'tools/list'))).text), { id: 1, result: { tools: [] } })
  t.ok(performance.now() - began >= 59)
  const cut = await faulty('cut:2')
  t.equal((await cut.say(rpc(1, 'tools/list'))).broke, false, 'it had less to say')
  t.ok((await cut.say(rpc(2, 'tools/call', { name: 'log' }))).broke)
  t.same(
    cut.heard.items.filter(m => m.method).map(m => m.params?.data),
    [1, 2]
  )
})

t.test('stdio: what is dropped or cut is never answered', async t => {
  const file = httpTape(t, [...listed, ...streamed])
  const rules = ['tools/list=drop', 'tools/call=cut:1'].map(parse)
  const { say, heard, door } = await byHand(t, 'stdio', file, { faults: rules })
  await say(rpc(1, 'tools/list'))
  await say(rpc(2, 'tools/call', { name: 'log' }))
  await heard.until(m => m.params?.data === 1)
  await say(rpc(3, 'ping'))
  await heard.until(m => m.id === 3)
  t.notOk(heard.items.some(m => m.id === 1 || m.id === 2))
  t.match(door.replay, { faults: { drop: 1, cut: 1 }, seed: Number })
})

t.test('the same seed hits the same requests of each replay session', async t => {
  const file = httpTape(t, [...listed])
  const run = async (seed: number): Promise<boolean[]> => {
    const { say } = await byHand(t, 'http', file, { faults: [parse('error:0.5')], seed })
    const hit: boolean[] = []
    for (let id = 1; id <= 20; id++) hit.push((await say(rpc(id, 'tools/list'))).text.includes('-31062'))
    return hit
  }
  const first = await run(7)
  t.same(await run(7), first)
  t.ok(first.includes(true) && first.includes(false))
})

t.test('who tries again gets what a fault was told in the place of', async t => {
  const count = (n: number) => asked(n, 'tools/call', { name: 'count', arguments: {} }, { n })
  const file = httpTape(t, [...count(1), ...count(2), ...count(3)])
  for (const match of ['keyed', 'strict'] as const) {
    const faults = [parse('tools/call=error:0.5')]
    const { say, door } = await byHand(t, 'http', file, { faults, seed: 3, match, repeat: 'error' })
    const counted: unknown[] = []
    let failed = 0
    for (let id = 1; counted.length < 3 && id < 50; id++) {
      const message = rpc(id, 'tools/call', { arguments: {}, name: 'count', _meta: { progressToken: id } })
      const { result, error } = JSON.parse((await say(message)).text)
      if (error) t.equal(error.code, -31_062, match)
      if (error) failed++
      else counted.push(result.n)
    }
    t.same(counted, [1, 2, 3], match)
    t.ok(failed > 0, 'some failed')
    t.match(door.replay, { misses: 0, unused: 0, faults: { error: failed } })
  }
})

t.test('clients that begin in sessions of their own are counted together, so that who tries again gets in', async t => {
  const file = httpTape(t, [...listed])
  const door = await replayDoor(t, file, { faults: [parse('initialize=error:0.5')], seed: 1 })
  const failed: boolean[] = []
  for (let id = 0; id < 20; id++) failed.push((await rawPost(door.url!, initialize(id))).text.includes('-31062'))
  t.ok(failed.includes(true) && failed.includes(false), String(failed))
})

t.test('who tries again with what the rules leave out gets what a fault was told in the place of', async t => {
  const count = (n: number) => asked(n, 'tools/call', { name: 'count', arguments: { now: n } }, { n })
  const file = httpTape(t, [...count(1), ...count(2), ...count(3)])
  const rules = `${file}.rules.yaml`
  writeFileSync(rules, 'version: 1\nrequests:\n  - method: tools/call\n    ignore: [/arguments/now]\n')
  const { say, door } = await byHand(t, 'http', file, { faults: [parse('error:0.5')], seed: 3, rules, repeat: 'error' })
  const counted: unknown[] = []
  for (let id = 1; counted.length < 3 && id < 50; id++) {
    const { result } = JSON.parse(
      (await say(rpc(id, 'tools/call', { name: 'count', arguments: { now: 100 + id } }))).text
    )
    if (result) counted.push(result.n)
  }
  t.same(counted, [1, 2, 3])
  t.ok(door.replay!.faults!.error! > 0, 'some failed')
})
