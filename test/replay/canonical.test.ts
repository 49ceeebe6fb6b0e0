import fc from 'fast-check'
import t from 'tap'
import { canonicalKey, canonicalText, MAX_DEPTH, parseJson } from '../../src/replay/canonical.ts'
import { ExactNumber } from '../../src/replay/exact-number.ts'

const key = (params: string): string => canonicalKey('m', parseJson(params))

t.test('numbers are equal by value, however they are written', async t => {
  const equal = [
    ['1', '1.0', '1e0', '10e-1', '0.1e1', '1E+0'],
    ['0', '-0', '0.0', '0e5', '0e999', '-0.000'],
    ['9007199254740993', '9007199254740993.0', '9.007199254740993e15', '90071992547409930e-1'],
    ['1e400', '10e399', '0.1E+401'],
    ['-1e-400', '-10e-401'],
    ['0.1', '0.10000000000', '1e-1', '100000000000000000e-18'],
    ['18446744073709551615', '18446744073709551615.000']
  ]
  for (const spellings of equal) for (const one of spellings) t.equal(key(`[${one}]`), key(`[${spellings[0]}]`), one)
  const keys = new Set(equal.map(([first]) => key(`[${first}]`)))
  t.equal(keys.size, equal.length)
})

t.test('numbers that one double stands for are not equal', async t => {
  for (const [a, b] of [
    ['9007199254740993', '9007199254740992'],
    ['0.1', '0.10000000000000000001'],
    ['1e400', '1e401'],
    ['1e-400', '0'],
    ['-1e400', '1e400'],
    ['123456789012345678901', '123456789012345678902']
  ])
    t.not(key(`{"n":${a}}`), key(`{"n":${b}}`), `${a} ${b}`)
})

t.test('a number with a text and a text are not equal', async t => {
  t.not(key('[9007199254740993]'), key('["9007199254740993"]'))
  t.not(key('[1]'), key('["1"]'))
  t.not(key('[null]'), key('["null"]'))
})

t.test('a number that no double holds is written as it was', async t => {
  const text = '{"a":9007199254740993,"b":[1.00000000000000000000,1e400]}'
  t.equal(JSON.stringify(parseJson(text)), '{"a":9007199254740993,"b":[1,1e400]}')
})

t.test('an exponent as long as a book takes no time', async t => {
  const value = parseJson(`[1e${'9'.repeat(1_000_000)}]`) as unknown[]
  t.ok(value[0] instanceof ExactNumber)
})

t.test('of equal keys the last counts, and __proto__ is a key like any other', async t => {
  t.equal(key('{"a":9007199254740993,"a":2}'), key('{"a":2}'))
  t.equal(key('{"a":1,"a":9007199254740993}'), key('{"a":9007199254740993}'))
  for (const number of ['1', '9007199254740993']) {
    const value = parseJson(`{"__proto__":{"polluted":${number}}}`) as Record<string, unknown>
    t.equal(Object.getPrototypeOf(value), Object.prototype)
    t.ok(Object.hasOwn(value, '__proto__'))
    t.not(key(`{"__proto__":{"a":${number}}}`), key('{}'))
  }
})

t.test('what is nested too deeply is refused, without overflow', async t => {
  const nested = (n: number, inner = ''): string => `${'['.repeat(n)}${inner}${']'.repeat(n)}`
  for (const inner of ['', '9007199254740993']) {
    t.throws(() => parseJson(nested(1_000_000, inner)), SyntaxError)
    t.throws(() => parseJson(nested(MAX_DEPTH + 1, inner)), SyntaxError)
    t.doesNotThrow(() => canonicalText(parseJson(nested(MAX_DEPTH, inner))))
  }
  t.throws(() => parseJson(`${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`), SyntaxError)
  t.throws(() => parseJson('{'), SyntaxError)
})

t.test('_meta does not count, and no parameters are as good as empty ones', async t => {
  t.equal(canonicalKey('m', undefined), canonicalKey('m', {}))
  t.equal(canonicalKey('m', { _meta: { progressToken: 1 } }), canonicalKey('m', undefined))
  t.equal(canonicalKey('m', { a: 1, _meta: {} }), canonicalKey('m', { a: 1 }))
  t.not(canonicalKey('m', { a: { _meta: 1 } }), canonicalKey('m', { a: {} }))
  t.not(canonicalKey('m', {}), canonicalKey('n', {}))
})

t.test('keys are bounded', async t => {
  t.ok(canonicalKey('m', { a: 'x'.repeat(1_000_000) }).length < 100)
  t.not(canonicalKey('m', { a: `${'x'.repeat(1000)}1` }), canonicalKey('m', { a: `${'x'.repeat(1000)}2` }))
})

t.test('what leaves nothing out changes nothing', async () => {
  const number = fc.bigInt().map(n => parseJson(`[${n}]`))
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), number), value => {
      return canonicalText(value) === canonicalText(value, { views: [{ named: new Map() }] })
    })
  )
})

/** Other text for the same value: keys in another order, blanks, numbers spelled otherwise. */
function respelled(value: unknown, pick: (n: number) => number): string {
  if (typeof value === 'number' && Number.isInteger(value) && Math.abs(value) < 1e15)
    return [String(value), `${value}.0`, `${value}e0`, value === 0 ? '-0e-1' : `${value}0e-1`, `${value}.00E+0`][
      pick(5)
    ]!
  if (Array.isArray(value)) return `[${value.map(v => respelled(v, pick)).join(pick(2) ? ' , ' : ',')}]`
  if (value === null || typeof value !== 'object') return JSON.stringify(value)
  const members = Object.entries(value).map(
    ([k, v]) => `${JSON.stringify(k)}${pick(2) ? ':' : ' : '}${respelled(v, pick)}`
  )
  for (let i = members.length - 1; i > 0; i--) {
    const j = pick(i + 1)
    ;[members[i], members[j]] = [members[j]!, members[i]!]
  }
  return `{${members.join(',')}}`
}

t.test('any value has one key, however it is written', async () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.infiniteStream(fc.nat()), (value, stream) => {
      const pick = (n: number): number => (stream.next().value as number) % n
      const text = JSON.stringify(value)
      return key(respelled(JSON.parse(text), pick)) === key(text)
    })
  )
})

t.test('different values have different keys', async () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), (a, b) => {
      const [one, other] = [a, b].map(v => JSON.parse(JSON.stringify(v).replaceAll('-0', '0')))
      const isEqual = canonicalText(one) === canonicalText(other)
      return isEqual === sameJson(one, other)
    })
  )
})

function sameJson(a: unknown, b: unknown): boolean {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b
  if (Array.isArray(a) !== Array.isArray(b)) return false
  const keys = Object.keys(a)
  return (
    keys.length === Object.keys(b).length &&
    keys.every(k => Object.hasOwn(b, k) && sameJson(Reflect.get(a, k), Reflect.get(b, k)))
  )
}

t.test('numbers are read by value, whatever their digits', async () => {
  const digits = fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 40 })
  fc.assert(
    fc.property(digits, fc.nat(40), fc.integer({ min: -400, max: 400 }), (list, point, exponent) => {
      const text = `1${list.join('')}`
      const at = Math.min(point, text.length - 1) + 1
      const moved = `${text.slice(0, at)}.${text.slice(at)}0e${exponent + text.length - at}`
      return (
        key(`[${text}e${exponent}]`) === key(`[${moved}]`) &&
        key(`[${text}e${exponent}]`) !== key(`[${text}1e${exponent}]`)
      )
    })
  )
})
