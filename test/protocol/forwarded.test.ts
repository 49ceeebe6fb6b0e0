import fc from 'fast-check'
import t from 'tap'
import { MAX_HOPS, parseForwarded, parseForwardedFor, writeHop } from '../../src/protocol/forwarded.ts'

t.test('the examples of RFC 7239 are read', async t => {
  t.same(parseForwarded('for="_gazonk"'), [{ for: '_gazonk' }])
  t.same(parseForwarded('For="[2001:db8:cafe::17]:4711"'), [{ for: '2001:db8:cafe::17' }])
  t.same(parseForwarded('for=192.0.2.60;proto=http;by=203.0.113.43'), [{ for: '192.0.2.60', proto: 'http' }])
  t.same(parseForwarded('for=192.0.2.43, for=198.51.100.17'), [{ for: '192.0.2.43' }, { for: '198.51.100.17' }])
  t.same(parseForwarded('for=192.0.2.43,for="[2001:db8:cafe::17]",for=unknown'), [
    { for: '192.0.2.43' },
    { for: '2001:db8:cafe::17' },
    { for: 'unknown' }
  ])
  t.same(parseForwarded('for="192.0.2.43:47011" ; host="a\\"b,c"'), [{ for: '192.0.2.43', host: 'a"b,c' }])
})

t.test('empty elements and a hop that does not say who it is', async t => {
  t.same(parseForwarded(''), [])
  t.same(parseForwarded(' , ,for=a,, '), [{ for: 'a' }])
  t.same(parseForwarded('proto=https, for=a;'), [{ proto: 'https' }, { for: 'a' }])
})

t.test('what is malformed, contradictory or too long is not read at all', async t => {
  for (const bad of [
    'for',
    'for=',
    'for="a',
    'for=a b',
    'for=a for=b',
    '=a',
    'for=a;for=b',
    'for=a;FOR=b',
    'for=[::1]',
    'a="b"c'
  ])
    t.equal(parseForwarded(bad), undefined, bad)
  t.ok(parseForwarded(Array(MAX_HOPS).fill('for=a').join(',')))
  t.equal(
    parseForwarded(
      Array(MAX_HOPS + 1)
        .fill('for=a')
        .join(',')
    ),
    undefined
  )
  t.equal(parseForwarded(`for="${'a'.repeat(20_000)}"`), undefined)
})

t.test('nothing takes long to refuse', async t => {
  const began = performance.now()
  for (const part of [' ', '\t', '"', '\\', ';', ',', 'a', 'a=', 'a="', '="'])
    for (const end of ['', 'x', '"', '\u0001']) parseForwarded(`for="${part.repeat(8_000)}${end}`)
  for (const part of [' ', ';', ', ']) parseForwarded(`${part.repeat(5_000)}\u0001`)
  t.ok(performance.now() - began < 2_000)
})

t.test('X-Forwarded-For: addresses with and without ports, in the order of the hops', async t => {
  t.same(parseForwardedFor('203.0.113.1, 10.0.0.1:8080,2001:db8::1 , [2001:db8::2]:443'), [
    '203.0.113.1',
    '10.0.0.1',
    '2001:db8::1',
    '2001:db8::2'
  ])
  t.same(parseForwardedFor(' , '), [])
  t.equal(
    parseForwardedFor(
      Array(MAX_HOPS + 1)
        .fill('::1')
        .join(',')
    ),
    undefined
  )
})

t.test('what is written is quoted where it has to be', async t => {
  t.equal(
    writeHop({ by: 'catflap', for: '192.0.2.1', host: 'a.example', proto: 'https' }),
    'by=_catflap;for=192.0.2.1;host=a.example;proto=https'
  )
  t.equal(writeHop({ for: '2001:db8::1', host: 'a.example:8443' }), 'for="[2001:db8::1]";host="a.example:8443"')
  t.equal(writeHop({ by: 'our own: 1', host: 'a"\\,b' }), 'by=_our_own__1;host="a\\"\\\\,b"')
})

const node = fc.oneof(fc.ipV4(), fc.ipV6(), fc.constant('unknown'), fc.stringMatching(/^_[A-Za-z0-9._-]{1,20}$/))
/** Anything that a header can carry. */
const text = fc.stringMatching(/^[\t\x20-\x7e\x80-\xff]{0,40}$/)

t.test('what is written is read as the same, whatever stands in it', async t => {
  const hop = fc.record({ for: node, host: text, proto: fc.constantFrom('http', 'https') })
  fc.assert(
    fc.property(fc.array(hop, { maxLength: MAX_HOPS }), hops => {
      t.same(parseForwarded(hops.map(writeHop).join(', ')), hops)
    })
  )
})

t.test('nobody can end the value of another', async t => {
  fc.assert(
    fc.property(text, host => {
      t.equal(parseForwarded(`${writeHop({ host })}, for=last`)?.length, 2)
    })
  )
})

t.test('reading never throws', async t => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 300 }), s => {
      parseForwarded(s)
      parseForwardedFor(s)
    })
  )
  t.pass()
})
