import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { Seal, SealError } from '../../../src/session/redis/seal.ts'

const [one, two] = [randomBytes(32), randomBytes(32)]

t.test('any text comes back, and does not show', async () => {
  const seal = new Seal([one])
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.string(), (text, place) => {
      const sealed = seal.seal(text, place)
      return seal.open(sealed, place) === text && (text.length < 4 || !sealed.includes(text))
    })
  )
})

t.test('the same text is never sealed the same', async t => {
  const seal = new Seal([one])
  t.not(seal.seal('x', 'p'), seal.seal('x', 'p'))
})

t.test('keys can be exchanged', async t => {
  const before = new Seal([one]).seal('secret', 'p')
  const both = new Seal([two, one])
  t.equal(both.open(before, 'p'), 'secret')
  const after = both.seal('secret', 'p')
  t.equal(new Seal([two]).open(after, 'p'), 'secret')
  t.throws(() => new Seal([two]).open(before, 'p'), SealError)
})

t.test('a seal opens at its own place only, and not where a bit of it was changed', async t => {
  const seal = new Seal([one])
  const sealed = seal.seal('secret', 'session-a legs')
  t.throws(() => seal.open(sealed, 'session-b legs'), SealError)
  for (let i = 7; i < sealed.length; i++) {
    const other = sealed[i] === 'A' ? 'B' : 'A'
    // The last digit has bits that say nothing.
    if (i === sealed.length - 1) continue
    t.throws(() => seal.open(sealed.slice(0, i) + other + sealed.slice(i + 1), 'session-a legs'), SealError)
  }
  for (const text of ['$', '$abcdef', sealed.slice(0, 20)]) t.throws(() => seal.open(text, 'p'), SealError)
})

t.test('with a key, what lies in the clear is refused; without, it passes', async t => {
  t.throws(() => new Seal([one]).open('{}', 'p'), SealError)
  t.equal(new Seal().open('{}', 'p'), '{}')
  t.equal(new Seal().seal('{}', 'p'), '{}')
  t.throws(() => new Seal().open(new Seal([one]).seal('{}', 'p'), 'p'), SealError)
})

t.test('a key of another length is none', async t => {
  t.throws(() => new Seal([randomBytes(16)]), /32 bytes, not 16/)
})
