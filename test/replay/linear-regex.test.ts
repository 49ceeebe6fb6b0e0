import fc from 'fast-check'
import t from 'tap'
import { compileRegex } from '../../src/replay/linear-regex.ts'

t.test('it is for the whole of a text', async t => {
  for (const [pattern, yes, no] of [
    ['a+', ['a', 'aaa'], ['', 'ab', 'ba']],
    ['^foo$', ['foo'], ['foo ', '^foo$']],
    ['Took \\d+ ms', ['Took 12 ms'], ['Took ms', 'Took 12 ms.']],
    ['(?:a|bc)*d?', ['', 'abc', 'bcad'], ['b', 'dd']],
    ['[^/\\]]{2,3}', ['ab', 'a.c'], ['a', 'abcd', 'a/', 'a]']],
    ['\\p{L}+\\u{1f600}?', ['é', 'é😀'], ['1', '😀😀']],
    ['(?<year>\\d{4})-\\d\\d', ['2026-11'], ['26-11']],
    ['a{2,}', ['aa', 'aaaa'], ['a']],
    ['a\\$', ['a$'], ['a']],
    ['a\\\\$', ['a\\'], ['a', 'a\\$']],
    ['', [''], ['a']],
    ['.*', ['', 'x y'], ['x\ny']]
  ] as const) {
    const matches = compileRegex(pattern)
    for (const text of yes) t.ok(matches(text), `${pattern} ${text}`)
    for (const text of no) t.notOk(matches(text), `${pattern} ${text}`)
  }
})

t.test('what cannot be matched in steady time is refused, and it is said why', async t => {
  for (const [pattern, why] of [
    ['(a', /no regular expression/],
    ['(?=a)b', /looks ahead/],
    ['(?<!a)b', /looks ahead or behind/],
    ['(a)\\1', /refers back/],
    ['a\\b', /\\b/],
    ['a$b', /\^ or \$/],
    ['(?:a{1000}){1000}', /repeats too much/],
    ['(?:(?:){99999999999999}){5}', /repeats too much/],
    ['a'.repeat(501), /longer than 500/]
  ] as const)
    t.throws(() => compileRegex(pattern), { message: why }, pattern)
})

t.test('what makes others try for ever takes no time', async t => {
  for (const pattern of ['(a+)+', '(a|a)*', '(a|aa)+', '(.*)*', '(?:a?){50}a{50}', '([a-z]+)*=', '.*.*.*.*=']) {
    const matches = compileRegex(pattern)
    t.notOk(matches(`${'a'.repeat(20_000)}\n!`), pattern)
  }
})

const piece = fc.constantFrom('a', 'b', '.', '[ab]', '[^a]', '\\d', 'a|b', '(?:ab)', '(a|b)', '(?:)', '1')
const pattern = fc
  .array(fc.tuple(piece, fc.constantFrom('', '*', '+', '?', '{2}', '{0,2}', '{1,}', '*?')), { maxLength: 6 })
  .map(list =>
    list.map(([part, times]) => (part.includes('|') && times ? `(?:${part})${times}` : part + times)).join('')
  )

t.test('it says what the one of JavaScript says', async () => {
  fc.assert(
    fc.property(
      pattern,
      fc.string({ unit: fc.constantFrom('a', 'b', '1', '\n', '😀'), maxLength: 8 }),
      (source, text) => {
        return compileRegex(source)(text) === new RegExp(`^(?:${source})$`, 'u').test(text)
      }
    ),
    { numRuns: 2000 }
  )
})
