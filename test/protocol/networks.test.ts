import { BlockList } from 'node:net'
import fc from 'fast-check'
import t from 'tap'
import { Networks, plainAddress } from '../../src/protocol/networks.ts'

const of = (...given: string[]): Networks => new Networks(given, 'trustedProxies')

t.test('addresses and networks', async t => {
  const list = of('10.0.0.0/8', '192.0.2.7', 'fd00::/8', '2001:db8::1')
  for (const inside of ['10.0.0.0', '10.255.255.255', '192.0.2.7', 'fd00::1', 'FDFF::', '2001:db8:0:0::1'])
    t.ok(list.has(inside), inside)
  for (const outside of ['11.0.0.0', '9.255.255.255', '192.0.2.8', 'fe80::1', '2001:db8::2', '::1', '', 'x', undefined])
    t.notOk(list.has(outside), String(outside))
  t.notOk(of().has('127.0.0.1'))
  t.ok(of('0.0.0.0/0').has('203.0.113.9'))
  t.notOk(of('0.0.0.0/0').has('2001:db8::1'), 'all of IPv4 is not all')
  t.notOk(of('::/0').has('203.0.113.9'))
})

t.test('an IPv4 address is itself on a socket that takes both', async t => {
  t.ok(of('10.0.0.0/8').has('::ffff:10.1.2.3'))
  t.ok(of('10.0.0.0/8').has('::ffff:a01:203'))
  t.ok(of('::ffff:10.0.0.0/104').has('10.1.2.3'))
  t.ok(of('::ffff:10.0.0.1').has('10.0.0.1'))
  t.notOk(of('::/0').has('::ffff:10.0.0.1'))
  t.same(
    ['::ffff:10.0.0.1', '::FFFF:a00:1', '10.0.0.1', 'FE80::1%eth0', '2001:DB8::1', 'localhost', ''].map(plainAddress),
    ['10.0.0.1', '10.0.0.1', '10.0.0.1', 'fe80::1', '2001:db8::1', undefined, undefined]
  )
})

t.test('what is no address or network is refused with what would be one', async t => {
  const wrong: Record<string, RegExp> = {
    localhost: /^trustedProxies: "localhost" is no address; give an address or a network like 10\.0\.0\.0\/8/,
    '': /"" is no address/,
    '10.0.0': /no address/,
    '10.0.0.0/33': /no prefix from 0 to 32/,
    '10.0.0.0/': /no prefix/,
    '10.0.0.0/-1': /no prefix/,
    '10.0.0.0/8/8': /no prefix/,
    '10.0.0.0/08x': /no prefix/,
    'fd00::/129': /no prefix from 0 to 128/,
    '10.1.2.3/8': /bits beyond its prefix of 8/,
    'fd00::1/8': /bits beyond/,
    'fe80::1%eth0': /zone/
  }
  for (const [given, message] of Object.entries(wrong)) t.throws(() => of(given), { name: 'TypeError', message }, given)
})

const dotted = (value: bigint): string => [24n, 16n, 8n, 0n].map(n => (value >> n) & 0xffn).join('.')
const colons = (value: bigint): string =>
  [112n, 96n, 80n, 64n, 48n, 32n, 16n, 0n].map(n => ((value >> n) & 0xffffn).toString(16)).join(':')

for (const [kind, width, write] of [
  ['ipv4', 32, dotted],
  ['ipv6', 128, colons]
] as const)
  t.test(`${kind}: what is in a network is what Node says`, async t => {
    const value = fc.bigInt({ min: 0n, max: (1n << BigInt(width)) - 1n })
    fc.assert(
      fc.property(value, value, fc.nat(width), fc.nat(width), (base, other, prefix, flip) => {
        const bits = BigInt(width - prefix)
        const network = write((base >> bits) << bits)
        const list = of(`${network}/${prefix}`)
        const block = new BlockList()
        block.addSubnet(network, prefix, kind)
        t.ok(list.has(write(base)))
        // Near the border, where mistakes show.
        for (const address of [other, base ^ (1n << BigInt(Math.min(flip, width - 1)))].map(write))
          t.equal(list.has(address), block.check(address, kind), `${address} in ${network}/${prefix}`)
      })
    )
  })
