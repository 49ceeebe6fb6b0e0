import fc from 'fast-check'
import t from 'tap'
import { addressLabel, redisAddress } from '../../../src/session/redis/address.ts'

t.test('what an address says', async t => {
  const plain = { kind: 'single', tls: false, db: 0 }
  t.same(redisAddress('redis://h'), { ...plain, nodes: [{ host: 'h', port: 6379 }] })
  t.same(redisAddress('rediss://h:1/2'), { ...plain, tls: true, db: 2, nodes: [{ host: 'h', port: 1 }] })
  t.same(redisAddress('redis://[::1]:7/'), { ...plain, nodes: [{ host: '::1', port: 7 }] })
  t.same(redisAddress('redis://:p%40%2F@h'), { ...plain, password: 'p@/', nodes: [{ host: 'h', port: 6379 }] })
  t.match(redisAddress('redis://ann:a@b:c@h'), { username: 'ann', password: 'a@b:c', nodes: [{ host: 'h' }] })
  t.match(redisAddress('redis://ann@h'), { username: 'ann', password: undefined })
  t.same(redisAddress('redis+sentinel://a,b:2/main/3'), {
    ...plain,
    kind: 'sentinel',
    master: 'main',
    db: 3,
    nodes: [
      { host: 'a', port: 26379 },
      { host: 'b', port: 2 }
    ]
  })
  t.match(redisAddress('REDISS+CLUSTER://a:1,b:2'), { kind: 'cluster', tls: true, nodes: [{ port: 1 }, { port: 2 }] })
})

t.test('what is none is refused in one sentence, without what may be a password', async t => {
  for (const rest of ['http://x', 'redis:h', 'h:1', '', 'redis://', 'redis://h:0', 'redis://h:70000', 'redis://h:x'])
    t.throws(() => redisAddress(rest), RangeError, rest)
  for (const rest of ['h/x', 'h/1/2', 'h:1:2', 'a b', 'h?x=1', 'h#y'])
    t.throws(() => redisAddress(`redis://u:geheim@${rest}`), /^(?!.*geheim)./, rest)
  t.throws(() => redisAddress('redis://u:%zz@h'), /percent-encoded/)
  t.throws(() => redisAddress('redis+sentinel://h'), /name of the master/)
  t.throws(() => redisAddress('redis+cluster://h/1'), /no databases/)
})

t.test('a label is an address without what is secret', async t => {
  const label = (text: string): string => addressLabel(redisAddress(text))
  t.equal(label('redis://ann:geheim@h/3'), 'redis://h:6379')
  t.equal(label('rediss+sentinel://:geheim@a,[::2]:3/main/1'), 'rediss+sentinel://a:26379,[::2]:3/main')
})

t.test('any user and password come through', async () => {
  const text = fc.string({ unit: 'grapheme', minLength: 1 })
  fc.assert(
    fc.property(text, text, (username, password) => {
      const url = `redis://${encodeURIComponent(username)}:${encodeURIComponent(password)}@h:1`
      const address = redisAddress(url)
      return address.username === username && address.password === password && address.nodes[0]?.host === 'h'
    })
  )
})
