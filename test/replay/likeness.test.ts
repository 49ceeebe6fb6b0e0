/** Which recorded session a client gets: whose client began most like it, and of several the one that was had least. */
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import { Message } from '../../src/protocol/message.ts'
import { Beginnings } from '../../src/replay/likeness.ts'
import { conversationOf } from './conversation-fixture.ts'

type Params = Readonly<Record<string, unknown>>

const params = fc.record(
  {
    clientInfo: fc.constantFrom({ name: 'a', version: '1' }, { version: '1', name: 'a' }, { name: 'b', version: '1' }),
    capabilities: fc.constantFrom({}, { roots: {} }),
    protocolVersion: fc.constantFrom('2025-06-18', '2025-11-25'),
    more: fc.constantFrom(1, 2)
  },
  { requiredKeys: [] }
)

/** One after the other. */
function expected(recorded: readonly Params[], had: number[], given: Params): number {
  const weights = { clientInfo: 4, capabilities: 2, protocolVersion: 1 }
  const likeness = recorded.map(one =>
    Object.entries(weights).reduce((sum, [key, n]) => sum + (isDeepStrictEqual(one[key], given[key]) ? n : 0), 0)
  )
  const most = Math.max(...likeness)
  const alike = [...recorded.keys()].filter(i => likeness[i] === most)
  const least = Math.min(...alike.map(i => had[i]!))
  const chosen = alike.find(i => had[i] === least)!
  had[chosen]!++
  return chosen
}

t.test('clients get what is most like them, in turn', async t => {
  const clients = fc.array(fc.tuple(params, fc.constantFrom(undefined, 'one', 'two')), { maxLength: 30 })
  fc.assert(
    fc.property(fc.array(params, { minLength: 1, maxLength: 12 }), clients, (recorded, all) => {
      const conversations = recorded.map(given => conversationOf([{ method: 'initialize', params: given }]))
      const beginnings = new Beginnings(conversations)
      const had = new Map<string | undefined, number[]>()
      for (const [given, name] of all) {
        if (!had.has(name)) had.set(name, Array(recorded.length).fill(0))
        const initialize = Message.from({ jsonrpc: '2.0', id: 1, method: 'initialize', params: given })
        const got = conversations.indexOf(beginnings.like(initialize, name)!)
        t.equal(got, expected(recorded, had.get(name)!, given))
      }
    })
  )
})

t.test('what is nested too deeply is like nothing, on the tape and of a client', async t => {
  const deep = JSON.parse(`${'['.repeat(700)}${']'.repeat(700)}`) as unknown
  const plain = { clientInfo: { name: 'a', version: '1' } }
  const conversations = [{ x: deep }, plain].map(given => conversationOf([{ method: 'initialize', params: given }]))
  const beginnings = new Beginnings(conversations)
  const like = (given: object): unknown =>
    beginnings.like(Message.from({ jsonrpc: '2.0', id: 1, method: 'initialize', params: given }), undefined)
  t.equal(like(plain), conversations[1])
  t.ok(like({ x: deep }))
})
