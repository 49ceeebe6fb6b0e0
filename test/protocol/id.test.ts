import t from 'tap'
import { idKey, roundedKey } from '../../src/protocol/id.ts'

t.test('spellings of one value meet', async t => {
  for (const same of [
    ['1', '1.0', '1e0', '10e-1', '1.00E+0'],
    ['0', '-0', '0.0', '-0e5'],
    ['"a"', '"\\u0061"'],
    ['"\\/"', '"/"'],
    ['1.5', '1.50', '15e-1'],
    ['1e21', '1E+21', '1.0e21']
  ])
    t.equal(new Set(same.map(idKey)).size, 1, same.join(' '))
})

t.test('different values stay apart', async t => {
  const all = [
    '1',
    '"1"',
    '"01"',
    '-1',
    '1.5',
    '9007199254740992',
    '9007199254740993',
    '"a"',
    '"A"',
    '""',
    '"1.0"',
    '0'
  ]
  t.equal(new Set(all.map(idKey)).size, all.length)
})

t.test('what a server that reads doubles would echo is known', async t => {
  t.equal(roundedKey(idKey('9007199254740993')), '9007199254740992')
  t.equal(roundedKey(idKey('1000000000000000000000')), '1e+21')
  t.equal(roundedKey(idKey('9007199254740991')), undefined)
  t.equal(roundedKey(idKey('"9007199254740993"')), undefined)
  t.equal(roundedKey(idKey('1.5')), undefined)
  t.equal(idKey('1e+21'), roundedKey(idKey('1000000000000000000000')), 'and is found under its own key')
})

t.test('a token may be any JSON: it is itself', async t => {
  t.equal(idKey('{"a":1}'), '{"a":1}')
  t.equal(idKey('1e999'), '1e999')
})
