import fc from 'fast-check'
import t from 'tap'
import { Message } from '../../src/protocol/message.ts'
import { announcedLists, serverIdentity } from '../../src/protocol/server-identity.ts'

type Json = null | boolean | number | string | Json[] | { [name: string]: Json }

const answer = (result: object, more = ''): Message =>
  Message.parse(Buffer.from(`{"jsonrpc":"2.0",${more}"id":1,"result":${JSON.stringify(result)}}`), 'server')

/** The same value with its members in another order, at every depth. */
function turned(value: Json): Json {
  if (Array.isArray(value)) return value.map(turned)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([name, inner]) => [name, turned(inner)])
  )
}

const members = fc.dictionary(fc.string(), fc.jsonValue()) as fc.Arbitrary<{ [name: string]: Json }>

t.test('the order of members is of no matter', async () => {
  fc.assert(
    fc.property(members, members, (capabilities, serverInfo) => {
      const said = { protocolVersion: 'x', capabilities, serverInfo }
      const identity = serverIdentity(answer(said))
      return identity !== undefined && identity === serverIdentity(answer(turned(said) as object))
    })
  )
})

t.test('everything else is, of what the client goes by', async () => {
  fc.assert(
    fc.property(members, members, (a, b) => {
      const same = JSON.stringify(turned(turned(a))) === JSON.stringify(b) || sorted(a) === sorted(b)
      const of = (capabilities: object): string | undefined => serverIdentity(answer({ capabilities }))
      return (of(a) === of(b)) === same
    })
  )
})

function sorted(value: Json): string {
  return JSON.stringify(value, (_, v) =>
    v && typeof v === 'object' && !Array.isArray(v)
      ? Object.fromEntries(Object.entries(v).sort(([x], [y]) => (x < y ? -1 : 1)))
      : v
  )
}

t.test('arrays keep their order; other members of the result do not count', async t => {
  const of = (result: object): string | undefined => serverIdentity(answer(result))
  t.not(of({ capabilities: { a: [1, 2] } }), of({ capabilities: { a: [2, 1] } }))
  t.equal(of({ serverInfo: {}, instructions: 'x' }), of({ instructions: 'y', serverInfo: {}, _meta: { z: 1 } }))
})

t.test('an error, what is no object, and what is too large or too deep has none', async t => {
  const error = Message.parse(Buffer.from('{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":""}}'), 'server')
  t.equal(serverIdentity(error), undefined)
  t.equal(serverIdentity(Message.parse(Buffer.from('{"jsonrpc":"2.0","id":1,"result":[]}'), 'server')), undefined)
  t.equal(serverIdentity(answer({ capabilities: { a: 'x'.repeat(300_000) } })), undefined)
  const deep = `{"jsonrpc":"2.0","id":1,"result":{"capabilities":${'['.repeat(100_000)}${']'.repeat(100_000)}}}`
  t.doesNotThrow(() => serverIdentity(Message.parse(Buffer.from(deep), 'server')))
  t.same(announcedLists(error), [])
})

t.test('lists whose changes a server announces', async t => {
  const capabilities = { tools: { listChanged: true }, prompts: { listChanged: 'yes' }, resources: { subscribe: true } }
  t.same(announcedLists(answer({ capabilities })), ['notifications/tools/list_changed'])
  t.same(announcedLists(answer({ capabilities: [] })), [])
  t.same(announcedLists(answer({})), [])
})
