/** Conversations: what the server says on its own account, and who hears it. */
import t from 'tap'
import { CatflapError } from '../../src/errors.ts'
import { Message } from '../../src/protocol/message.ts'
import { Channel, type ChannelOptions, type Listener } from '../../src/session/channel.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { Inbox } from '../helpers/wait.ts'

interface Stream extends Listener {
  readonly got: string[]
  full: boolean
  closed: boolean
}

function stream(full = false): Stream {
  const got: string[] = []
  return {
    got,
    full,
    closed: false,
    deliver(message) {
      if (!this.full) got.push(nameOf(message))
      return !this.full
    },
    channelClosed() {
      this.closed = true
    }
  }
}

function nameOf(m: Message): string {
  return m.kind === 'response'
    ? `${m.isError ? 'error' : 'answer'} ${m.idText}`
    : `${m.method} ${m.idText ?? ''}`.trim()
}

const ask = (id: string | number, method = 'ask') => Message.from({ jsonrpc: '2.0', id, method })
const askRaw = (idText: string) => Message.parse(Buffer.from(`{"jsonrpc":"2.0","id":${idText},"method":"ask"}`))
const tell = (method: string) => Message.from({ jsonrpc: '2.0', method })
const reply = (id: string | number) => Message.from({ jsonrpc: '2.0', id, result: {} })
const withdraw = (requestId: string | number) =>
  Message.from({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId } })

function channel(t: Tap, options: Partial<ChannelOptions> = {}) {
  trackLeaks(t)
  const toServer = new Inbox<string>('messages for the server')
  const own: boolean[] = []
  const lost: string[] = []
  const c = new Channel(
    { maxMailbox: 3, mailboxTtl: 60_000, maxServerRequests: 3, ...options },
    {
      toServer(message, isOwn) {
        toServer.push(nameOf(message))
        own.push(isOwn)
      },
      undelivered: (message, why) => lost.push(`${nameOf(message)}: ${why}`)
    }
  )
  t.teardown(() => c.close())
  return { c, toServer, own, lost }
}

type Tap = Parameters<typeof trackLeaks>[0]

t.test('a message goes to the exchange it belongs to, whatever else is open', async t => {
  const { c } = channel(t)
  const [owner, other, get] = [stream(), stream(), stream()]
  c.enter(owner)
  c.enter(other)
  c.openStream(get)
  c.fromServer(ask(1), owner)
  t.same([owner.got, other.got, get.got], [['ask 1'], [], []])
})

t.test(
  'without an owner it goes to the only exchange in flight, with several to the newest stream, and to one only',
  async t => {
    const { c } = channel(t)
    const [only, second, older, newer] = [stream(), stream(), stream(), stream()]
    c.openStream(older)
    c.openStream(newer)
    c.enter(only)
    c.fromServer(tell('a'), undefined)
    const leave = c.enter(second)
    c.fromServer(tell('b'), undefined)
    t.same([only.got, second.got, older.got, newer.got], [['a'], [], [], ['b']])
    leave()
    c.fromServer(tell('c'), undefined)
    t.same(only.got, ['a', 'c'])
  }
)

t.test('a stream that is full is passed over; one that went away gets nothing', async t => {
  const { c } = channel(t)
  const [open, full, gone] = [stream(), stream(true), stream()]
  c.openStream(open)
  c.openStream(full)
  c.openStream(gone)()
  c.fromServer(tell('a'), undefined)
  t.same([open.got, full.got, gone.got], [['a'], [], []])
})

t.test('what nobody can take waits, in order, for the next stream', async t => {
  const { c } = channel(t)
  c.fromServer(tell('a'), undefined)
  c.fromServer(ask('q'), undefined)
  t.equal(c.waiting, 2)
  const get = stream()
  c.openStream(get)
  t.same(get.got, ['a', 'ask "q"'])
  t.equal(c.waiting, 0)
})

t.test(
  'what waits goes to an exchange once that is the only one, at its beginning or when others have left',
  async t => {
    const { c } = channel(t)
    const [first, second] = [stream(), stream()]
    c.fromServer(tell('before'), undefined)
    c.enter(first)
    t.same(first.got, ['before'])
    const leave = c.enter(second)
    c.fromServer(ask(1), undefined)
    t.same([first.got, second.got, c.waiting], [['before'], [], 1])
    leave()
    t.same(first.got, ['before', 'ask 1'])
  }
)

t.test('a stream that takes a part of what waits leaves the rest in order', async t => {
  const { c } = channel(t)
  for (const name of ['a', 'b', 'c']) c.fromServer(tell(name), undefined)
  const small = stream()
  small.deliver = function (message) {
    this.got.push(nameOf(message))
    this.deliver = () => false
    return true
  }
  c.openStream(small)()
  t.equal(c.waiting, 2)
  const get = stream()
  c.openStream(get)
  t.same([small.got, get.got], [['a'], ['b', 'c']])
})

t.test('the mailbox is bounded: the oldest gives way, a request among them is answered with an error', async t => {
  const { c, toServer, own, lost } = channel(t)
  c.fromServer(ask(1), undefined)
  for (const name of ['a', 'b', 'c', 'd']) c.fromServer(tell(name), undefined)
  t.equal(c.waiting, 3)
  t.same(toServer.items, ['error 1'])
  t.same(own, [true])
  t.match(lost, [/^ask 1: too many messages/, /^a: too many messages/])
  t.equal(c.awaiting, 0)
  t.notOk(c.answer(reply(1)), 'its late answer goes nowhere')
})

t.test('waiting is bounded in time: a request is then answered with an error', async t => {
  const { c, toServer, lost } = channel(t, { mailboxTtl: 20 })
  c.fromServer(tell('a'), undefined)
  c.fromServer(ask(1), undefined)
  t.equal(await toServer.next(), 'error 1')
  t.match(lost, [/^a: no stream/, /^ask 1: no stream/])
  t.same([c.waiting, c.awaiting], [0, 0])
  c.fromServer(ask(2), undefined)
  t.equal(await toServer.next(), 'error 2', 'and again for what comes later')
})

t.test("the server's unanswered requests are bounded: one more is answered with an error", async t => {
  const { c, toServer } = channel(t)
  const get = stream()
  c.openStream(get)
  for (const id of [1, 2, 3, 4]) c.fromServer(ask(id), undefined)
  t.same(toServer.items, ['error 4'])
  t.same(get.got, ['ask 1', 'ask 2', 'ask 3'])
  t.ok(c.answer(reply(2)))
  c.fromServer(ask(5), undefined)
  t.same(get.got.at(-1), 'ask 5', 'an answer makes room')
})

t.test('an answer reaches the server once, by the id in its own type', async t => {
  const { c, toServer, own } = channel(t)
  c.openStream(stream())
  c.fromServer(ask(1), undefined)
  t.notOk(c.answer(reply('1')), 'the string 1 is another id')
  t.notOk(c.answer(reply(2)), 'nobody asked that')
  t.ok(c.answer(reply(1)))
  t.notOk(c.answer(reply(1)), 'a second answer goes nowhere')
  t.same(toServer.items, ['answer 1'])
  t.same(own, [false])
})

t.test('a big id that a JavaScript client echoes rounded still finds its request', async t => {
  const { c, toServer } = channel(t)
  c.openStream(stream())
  c.fromServer(askRaw('9007199254740993'), undefined)
  t.ok(c.answer(Message.parse(Buffer.from('{"jsonrpc":"2.0","id":9007199254740992,"result":{}}'))))
  t.same(toServer.items, ['answer 9007199254740992'])
  t.equal(c.awaiting, 0)
})

t.test('a server that uses one id twice at once gets both answers, and no third', async t => {
  const { c, toServer } = channel(t)
  c.openStream(stream())
  c.fromServer(ask(7), undefined)
  c.fromServer(ask(7), undefined)
  t.equal(c.awaiting, 2)
  t.same([c.answer(reply(7)), c.answer(reply(7)), c.answer(reply(7))], [true, true, false])
  t.same(toServer.items, ['answer 7', 'answer 7'])
})

t.test('a request that the server takes back: its carrier hears that, and an answer goes nowhere', async t => {
  const { c, toServer } = channel(t)
  const [carrier, other, get] = [stream(), stream(), stream()]
  c.enter(carrier)
  c.fromServer(ask(1), undefined)
  c.enter(other)
  c.openStream(get)
  c.fromServer(withdraw(1), undefined)
  t.same([carrier.got, other.got, get.got], [['ask 1', 'notifications/cancelled'], [], []])
  t.notOk(c.answer(reply(1)))
  t.same(toServer.items, [])
})

t.test('a request taken back before anybody heard it is never heard, nor answered with an error', async t => {
  const { c, toServer } = channel(t, { mailboxTtl: 20 })
  c.fromServer(ask(1), undefined)
  c.fromServer(withdraw(1), undefined)
  t.same([c.waiting, c.awaiting], [0, 0])
  c.fromServer(ask(2), undefined)
  t.equal(await toServer.next(), 'error 2', 'the time of both has passed')
  const get = stream()
  c.openStream(get)
  t.same(get.got, [])
})

t.test('the end: streams are told, what waits is given up, answers find nothing', async t => {
  const { c, toServer, lost } = channel(t)
  c.fromServer(tell('a'), undefined)
  const [get, call] = [stream(true), stream(true)]
  c.openStream(get)
  c.enter(call)
  c.fromServer(ask(1), undefined)
  c.close()
  t.ok(get.closed)
  t.match(lost, [/^a: the session ended/, /^ask 1: the session ended/])
  t.notOk(c.answer(reply(1)))
  t.same([toServer.items, c.waiting, c.awaiting], [[], 0, 0])
})

t.test('after the end: what a server that is told to end still says, nobody waits for', async t => {
  const { c, toServer, lost } = channel(t)
  c.close()
  c.fromServer(tell('a'), undefined)
  c.fromServer(ask(1), undefined)
  t.match(lost, [/^a: the session ended/, /^ask 1: the session ended/])
  t.same([toServer.items, c.waiting, c.awaiting], [[], 0, 0])
})

t.test('a carrier that leaves before the client has answered: the answer is waited for, but not for ever', async t => {
  const { c, toServer, lost } = channel(t, { mailboxTtl: 20 })
  const leave = c.enter(stream())
  c.fromServer(ask(1), undefined)
  c.fromServer(ask(2), undefined)
  leave()
  t.ok(c.answer(reply(1)), 'answers come by requests of their own')
  t.same([await toServer.next(), await toServer.next()], ['answer 1', 'error 2'])
  t.match(lost, [/^ask 2: the client left/])
  t.equal(c.awaiting, 0)
})

t.test('a client that still has a stream, or opens one, may take its time', async t => {
  const { c, toServer } = channel(t, { mailboxTtl: 20, maxServerRequests: 4 })
  const [first, second] = [stream(), stream()]
  const leaveFirst = c.openStream(first)
  c.fromServer(ask(1), undefined)
  const leaveSecond = c.openStream(second)
  leaveFirst()
  c.fromServer(ask(2), undefined)
  leaveSecond()
  const leaveThird = c.openStream(stream())
  c.enter(stream(true))
  c.enter(stream(true))
  leaveThird()
  const get = stream()
  c.openStream(get)
  const elsewhere = new Channel(
    { maxMailbox: 1, mailboxTtl: 40, maxServerRequests: 1 },
    { toServer: m => toServer.push(nameOf(m)), undelivered() {} }
  )
  t.teardown(() => elsewhere.close())
  elsewhere.fromServer(ask('clock'), undefined)
  t.equal(await toServer.next(), 'error "clock"', 'twice the time has passed')
  t.same([c.awaiting, get.got], [2, []], 'and nothing was said twice')
})

t.test('what one stream could not take still has its time, whatever happened meanwhile', async t => {
  const { c, toServer } = channel(t, { mailboxTtl: 20 })
  const other = stream()
  const leave = c.enter(stream(true))
  c.fromServer(ask(1), undefined)
  c.enter(other)
  let tried = false
  const breaking: Listener = {
    deliver() {
      if (tried) return false
      tried = true
      c.fromServer(tell('later'), undefined)
      other.full = false
      leave()
      other.full = true
      return false
    }
  }
  other.full = true
  c.openStream(breaking)
  t.same(other.got, ['later'])
  t.equal(await toServer.next(), 'error 1')
})

t.test('a request that is kept from the client is answered in its place, once', async t => {
  const { c, toServer, own } = channel(t)
  c.openStream(stream())
  c.fromServer(ask(1), undefined)
  c.refuse(ask(1), new CatflapError('blocked'))
  c.refuse(ask(1), new CatflapError('blocked'))
  t.notOk(c.answer(reply(1)))
  t.same([toServer.items, own, c.awaiting], [['error 1'], [true], 0])
})
