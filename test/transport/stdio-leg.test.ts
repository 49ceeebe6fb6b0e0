/** One child as a leg: whose answer is whose, when ids and tokens are used several times at once. */
import t, { type Test } from 'tap'
import { Message } from '../../src/protocol/message.ts'
import { StdioLeg } from '../../src/transport/upstream/stdio.ts'
import type { CallReceiver, UpstreamCall } from '../../src/transport/upstream.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { fixtureArgv } from '../helpers/stdio-peer.ts'
import { Inbox } from '../helpers/wait.ts'

interface Heard {
  readonly handle: UpstreamCall
  /** `message <text>`, `end`, `error <code>`, `cancelled` in order. */
  readonly log: Inbox<string>
}

function start(t: Test, { maxLine = 1_000_000, maxInput = 1_000_000 } = {}) {
  trackLeaks(t)
  const [command, ...args] = fixtureArgv('puppet-stdio.ts')
  const log = new Inbox<string>('what the leg says')
  const leg = new StdioLeg(
    { label: 'puppet', command, args, maxLine, maxInput, killGrace: { stdin: 500, term: 500 } },
    {
      message: (m, call) => log.push(`${call ? 'owned ' : ''}${m.bytes}`),
      late: m => log.push(`late ${m.bytes}`),
      noise: bytes => log.push(`noise ${bytes.subarray(0, 40)}`),
      stderr: line => log.push(line),
      lost: error => log.push(`lost ${error.message}`),
      own: m => log.push(`own ${m.bytes}`),
      changed: (client, server, dir) => log.push(`changed ${dir} ${client.bytes} ${server.bytes}`)
    }
  )
  t.teardown(() => leg.close())
  const input = (message: Message | undefined, batch?: readonly Message[]) => ({
    kind: batch ? ('batch' as const) : message?.kind === 'request' ? ('request' as const) : ('notify' as const),
    era: 'legacy' as const,
    message,
    batch,
    body: undefined,
    headers: []
  })
  const hear = (name: string) => {
    const heard = new Inbox<string>(`what the call ${name} hears`)
    const receiver: CallReceiver = {
      onHead() {},
      onData() {},
      onMessage: (m, last) => heard.push(`${last ? 'last' : 'message'} ${m.bytes}`),
      onEnd: () => heard.push('end'),
      onError: error => heard.push(`error ${error.code}`),
      onCancelled: () => heard.push('cancelled')
    }
    return { heard, receiver }
  }
  const call = (text: string): Heard => {
    const { heard, receiver } = hear(text)
    return { log: heard, handle: leg.call(input(Message.parse(Buffer.from(text))), receiver) }
  }
  const batch = (...texts: string[]): Heard => {
    const { heard, receiver } = hear('batch')
    const messages = texts.map(text => Message.parse(Buffer.from(text)))
    return { log: heard, handle: leg.call(input(undefined, messages), receiver) }
  }
  const seen = async (pattern: RegExp) => (await log.until(l => l.startsWith('seen ') && pattern.test(l))).slice(5)
  return { leg, log, call, batch, seen }
}

const request = (idText: string, params = '{}', method = 'do') =>
  `{"jsonrpc":"2.0","id":${idText},"method":"${method}","params":${params}}`
const answer = (idText: string, result = '{}') => `{"jsonrpc":"2.0","id":${idText},"result":${result}}`
const cancel = (idText: string) =>
  `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":${idText}}}`
const says = (text: string) => `{"write":${JSON.stringify(`${text}\n`)},"answer":false}`

t.test('an answer that comes after its call was forgotten reaches no newer one of the same id', async t => {
  const { call, seen, log } = start(t, { maxInput: 10_000_000 })
  const token = (n: number | string, age = 'early') => `{"answer":false,"age":"${age}","_meta":{"progressToken":${n}}}`
  // What catflap would call its calls is no place to wait in, either.
  const early = [7, 8, '"catflap-1"', 2_000_000_001].map(id => call(request(String(id), token(id))))
  for (let i = 0; i < 1100; i++) call(request(String(10_000 + i), '{"answer":false}')).handle.cancel('client-gone')
  for (const c of early) c.handle.cancel('client-gone')
  for (let i = 0; i < 1100; i++) call(request(`"${i}"`, '{"answer":false}')).handle.cancel('client-gone')
  const newer = [7, '"catflap-1"', '"x"', 9].map(id => call(request(String(id), token(id, 'newer'))))
  const wire = JSON.parse(await seen(/"id":"catflap-[^"]*".*newer.*"progressToken":"catflap/)) as { id: string }
  t.not(wire.id, 'catflap-1')
  const progress = (n: number) =>
    `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":${n},"progress":1}}`
  const late = [7, 8, '"catflap-1"', 2_000_000_001].map(id => answer(String(id), '"late"'))
  const trigger = call(request('1', says([...late, progress(7), answer('1')].join('\n'))))
  await log.until(l => l.startsWith('late') && l.includes('"id":1,'), { what: 'everything that was late' })
  t.equal(log.items.filter(l => l.startsWith('late') && l.includes('"late"')).length, 4)
  for (const c of [...newer, trigger]) t.equal(c.log.items.length, 0)
})

t.test('an id in use is changed on the wire only, within its type, and changed back', async t => {
  const { call, seen } = start(t)
  const [first, second] = [call(request('1', '{"answer":false}')), call(request('1', '{"n":2}'))]
  t.equal(await second.log.next(), `last ${answer('1', '{"echo":{"n":2}}')}`)
  t.match(await seen(/"n":2/), /"id":2\d{9},/)
  call(request('"x"', says(answer('1', '"late but mine"'))))
  t.equal(await first.log.next(), `last ${answer('1', '"late but mine"')}`)
  t.equal(await first.log.next(), 'end')
  call(request('"s"', '{"answer":false}'))
  t.equal(await call(request('"s"', '{"n":3}')).log.next(), `last ${answer('"s"', '{"echo":{"n":3}}')}`)
  t.match(await seen(/"n":3/), /"id":"catflap-\d+",/)
})

t.test('1 and "1" are two ids, and neither is changed', async t => {
  const { call, log } = start(t)
  const [number, text] = [call(request('1', '{"answer":false}')), call(request('"1"', says(answer('1'))))]
  t.equal(await number.log.next(), `last ${answer('1')}`)
  call(request('2', says(answer('"1"'))))
  t.equal(await text.log.next(), `last ${answer('"1"')}`)
  t.notOk(log.items.some(l => l.startsWith('changed')))
})

t.test('an id that the server spells in another way is found', async t => {
  const { call } = start(t)
  t.equal(await call(request('1.0', '{"rounded":true}')).log.next(), `last ${answer('1', '{"for":"1.0"}')}`)
  t.match(await call(request('"\\u0061"', '{"rounded":true}')).log.next(), '"id":"a"')
  t.match(await call(request('1e21', '{"rounded":true}')).log.next(), '"id":1e+21')
})

t.test('big ids that a server of doubles would answer alike are told apart', async t => {
  const { call } = start(t)
  const held = [
    ['9007199254740993', '9007199254740992'],
    ['9007199254740992', '9007199254740993'],
    ['9007199254740995', '9007199254740997']
  ]
  for (const [a = '', b = ''] of held) {
    const first = call(request(a, '{"answer":false}'))
    const second = call(request(b, '{"rounded":true}'))
    t.match(await second.log.next(), `last {"jsonrpc":"2.0","id":${b},`, 'the second gets its own')
    t.same(first.log.items, [], 'and the first nothing of it')
    call(request('"end"', says(answer(String(Number(a))))))
    t.equal(await first.log.next(), `last ${answer(String(Number(a)))}`, 'which is passed as the server spelled it')
  }
})

t.test('a progress token in use is changed on the wire only; progress finds its call', async t => {
  const { call, log, seen } = start(t)
  const params = (more: string) => `{"_meta":{"progressToken":"p"},${more}}`
  call(request('1', params('"answer":false')))
  const second = call(request('2', params('"n":2,"answer":false')))
  const wire = JSON.parse(await seen(/"n":2/)).params._meta.progressToken
  t.not(wire, 'p')
  const progress = (token: string) =>
    `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":${token},"progress":1}}`
  call(request('3', says(progress(JSON.stringify(wire)))))
  t.equal(await log.until(l => l.startsWith('owned')), `owned ${progress('"p"')}`)
  t.same(second.log.items, [], 'what to do with it is for the owner of the leg to say')
  call(request('4', says(progress('"nobody\'s"'))))
  t.equal(await log.until(l => l.startsWith('{')), progress('"nobody\'s"'))
})

t.test('a rounded progress token finds its call', async t => {
  const { call, log } = start(t)
  const progress =
    '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":9007199254740992,"progress":1}}'
  call(request('1', `{"_meta":{"progressToken":9007199254740993},"write":${JSON.stringify(`${progress}\n`)}}`))
  t.equal(await log.until(l => l.includes('notifications/progress') && !l.startsWith('seen')), `owned ${progress}`)
})

t.test('a cancellation names the id the server knows; an unknown one passes as it is', async t => {
  const { call, seen, log } = start(t)
  call(request('1', '{"answer":false}'))
  const second = call(request('1', '{"n":2,"answer":false}'))
  const wire = JSON.parse(await seen(/"n":2/)).id
  call(cancel('1'))
  t.equal(await second.log.next(), 'cancelled')
  t.equal(JSON.parse(await seen(/cancelled/)).params.requestId, wire, 'of several, the newest is meant')
  second.handle.cancel('client-cancelled')
  call(cancel('77'))
  t.equal(await seen(/requestId":77/), cancel('77'))
  t.equal(log.items.filter(l => l.startsWith('seen') && l.includes(`"requestId":${wire}`)).length, 1, 'told once')
})

t.test('the answer to a cancelled call never reaches a newer call of the same id', async t => {
  const { call, log } = start(t)
  const old = call(request('5', '{"answer":false}'))
  old.handle.cancel('client-gone')
  const newer = call(request('5', says(answer('5', '"old"'))))
  t.equal(await log.until(l => l.startsWith('late')), `late ${answer('5', '"old"')}`)
  t.same([old.log.items, newer.log.items], [[], []])
})

t.test('nor where the client cancelled it and it may still be answered', async t => {
  const { call, log } = start(t)
  const old = call(request('5', '{"answer":false}'))
  call(cancel('5'))
  const newer = call(request('5', says(answer('5', '"old"'))))
  t.same(old.log.items, ['cancelled', 'error cancelled'], 'the newer call ends the wait for the old')
  t.equal(await log.until(l => l.startsWith('late')), `late ${answer('5', '"old"')}`)
  t.same(newer.log.items, [])
})

t.test('initialize is never cancelled; a call that timed out is, on our own account', async t => {
  const { call, log, seen } = start(t)
  const initialize = call(request('0', '{}', 'initialize'))
  initialize.handle.cancel('timeout')
  call(request('1', '{"answer":false}')).handle.cancel('timeout')
  t.match(await seen(/cancelled/), '"requestId":1')
  t.match(
    log.items.filter(l => l.startsWith('own')),
    [/"requestId":1,"reason":"timed out"/]
  )
})

t.test('a batch: each request is correlated on its own, and its end is the end of the last', async t => {
  const { batch, call, seen } = start(t)
  call(request('1', '{"answer":false}'))
  const both = batch(request('1', '{"n":1}'), cancel('77'), request('2', '{"answer":false}'))
  t.equal(await both.log.next(), `message ${answer('1', '{"echo":{"n":1}}')}`)
  await seen(/requestId":77/)
  call(cancel('2'))
  t.equal(await both.log.next(), 'cancelled', 'nothing but a cancelled call is left')
  call(request('3', says(answer('2'))))
  t.equal(await both.log.next(), `last ${answer('2')}`)
  t.equal(await both.log.next(), 'end')
})

t.test('an answer over the limit fails its call, wherever its id stands', async t => {
  const { call } = start(t, { maxLine: 8_000 })
  const huge = `"${'x'.repeat(9_000)}"`
  call(request('1', '{"answer":false}'))
  const [first, last] = [call(request('2', '{"answer":false}')), call(request('3', '{"answer":false}'))]
  const text = `${answer('2', huge)}\n{"result":${huge},"id":3,"jsonrpc":"2.0"}`
  call(request('6', says(text)))
  t.equal(await first.log.next(), 'error message_too_large')
  t.equal(await last.log.next(), 'error message_too_large')
})

t.test('noise, a notification or a question over the limit fails no call, even the only one', async t => {
  const { call, log, seen } = start(t, { maxLine: 8_000 })
  const huge = `"${'x'.repeat(9_000)}"`
  const lines = [
    'x'.repeat(9_000),
    `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":${huge}}}`,
    `{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{"messages":${huge}}}`
  ]
  const only = call(request('1', says([...lines, answer('1')].join('\n'))))
  t.equal(await only.log.next(), `last ${answer('1')}`)
  t.match(await seen(/message_too_large/), /^\{"jsonrpc":"2.0","id":1,"error"/, 'the question is answered')
  t.equal(log.items.filter(l => l.startsWith('noise')).length, 3)
})

t.test('lines that are no messages are noise; a batch of the server is its messages', async t => {
  const { call, log } = start(t)
  const lines = ['{"no":"rpc"}', '[]', 'null', '{"jsonrpc":"2.0","id":1}']
  const batch = `[${answer('1')},{"jsonrpc":"2.0","method":"n"}]`
  const one = call(request('1', says([...lines, batch].join('\n'))))
  t.equal(await one.log.next(), `last ${answer('1')}`)
  t.same(
    log.items.filter(l => l.startsWith('noise')).map(l => l.slice(6)),
    lines.map(l => l.slice(0, 40))
  )
  t.ok(log.items.includes('{"jsonrpc":"2.0","method":"n"}'))
})

t.test('the child ends: its calls fail, later ones at once, with its exit code and last words in one line', async t => {
  const { call, log, leg } = start(t)
  const [held, dying] = [call(request('1', '{"answer":false}')), call(request('2', '{"answer":false,"exit":3}'))]
  t.equal(await held.log.next(), 'error child_exited')
  t.equal(await dying.log.next(), 'error child_exited')
  t.match(
    await log.until(l => l.startsWith('lost')),
    /^lost puppet exited with code 3\. Its last words on stderr: [^\n]*seen/
  )
  t.equal(await call(request('3')).log.next(), 'error child_exited')
  t.equal(leg.inFlight, 0)
})

t.test('close fails what is in flight and ends the child', async t => {
  const { call, leg, log } = start(t)
  const held = call(request('1', '{"answer":false}'))
  await log.until(l => l.startsWith('seen'))
  await leg.close()
  t.same(held.log.items, ['error session_not_found'])
  t.match(log.items.at(-1), /^lost puppet exited with code 0/)
})

t.test('the progress token of a task outlives the answer that began it', async t => {
  const { call, log, seen } = start(t)
  const params = (more: string) => `{"task":{"ttl":60000},"_meta":{"progressToken":"p"},${more}}`
  const begun = '{"task":{"taskId":"t1","status":"working"}}'
  const first = call(request('1', params(`"write":${JSON.stringify(`${answer('1', begun)}\n`)},"answer":false`)))
  t.equal(await first.log.next(), `last ${answer('1', begun)}`)
  // The token is still taken, so that a second task under it is told apart.
  const second = call(request('2', params('"n":2,"answer":false')))
  const wire = JSON.parse(await seen(/"n":2/)).params._meta.progressToken
  t.not(wire, 'p')
  const progress = (token: string, n: number) =>
    `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":${token},"progress":${n}}}`
  call(request('3', says(progress('"p"', 1))))
  t.equal(await log.until(l => l.includes('"progress":1')), progress('"p"', 1), 'no call owns it any more')
  call(request('4', says(answer(String(JSON.parse(await seen(/"n":2/)).id), begun))))
  t.equal(await second.log.next(), `last ${answer('2', begun)}`)
  call(request('5', says(progress(JSON.stringify(wire), 2))))
  t.equal(
    await log.until(l => l.startsWith('{') && l.includes('"progress":2')),
    progress('"p"', 2),
    'under the name the client gave it'
  )
  t.notOk(log.items.some(l => l.startsWith('late')))
})

t.test('progress behind an answer that began no task is late', async t => {
  const { call, log } = start(t)
  const progress = '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"p","progress":1}}'
  const plain = call(request('1', '{"_meta":{"progressToken":"p"}}'))
  await plain.log.until(l => l === 'end')
  const refused = `{"jsonrpc":"2.0","id":2,"error":{"code":-32603,"message":"no"}}`
  const failed = call(
    request('2', `{"task":{},"_meta":{"progressToken":"q"},"write":${JSON.stringify(`${refused}\n`)},"answer":false}`)
  )
  t.equal(await failed.log.next(), `last ${refused}`)
  call(request('3', says(progress)))
  // Nobody has the token any more, so that whoever owns the leg decides.
  t.equal(await log.until(l => l.includes('"progress":1')), progress)
})
