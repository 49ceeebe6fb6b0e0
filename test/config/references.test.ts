// biome-ignore-all lint/suspicious/noTemplateCurlyInString: references of configuration files look like that
import fc from 'fast-check'
import t from 'tap'
import { expand, Refusal, type Sources } from '../../src/config/references.ts'

const sources: Sources = {
  variable: name => ({ A: 'one', EMPTY: '', NESTED: '${A}', FILE: 'file:/etc/passwd' })[name],
  file: path => `content of ${path}`
}
const textOf = (text: string) => expand(text, sources).text

t.test('variables', async t => {
  const cases = [
    ['', ''],
    ['plain', 'plain'],
    ['${A}', 'one'],
    ['x${A}y${A}', 'xoneyone'],
    ['${NONE:-two}', 'two'],
    ['${EMPTY:-two}', 'two'],
    ['${EMPTY}', ''],
    ['${A:-two}', 'one'],
    ['${NONE:-}', ''],
    ['$${A}', '${A}'],
    ['$$${A}', '$${A}'],
    ['$A $ $$ {A} }', '$A $ $$ {A} }'],
    // What a variable holds is text: it refers to nothing.
    ['${NESTED}', '${A}'],
    ['${FILE}', 'file:/etc/passwd']
  ] as const
  for (const [text, wanted] of cases) t.equal(textOf(text), wanted, text)
})

t.test('files', async t => {
  t.equal(textOf('file:secret'), 'content of secret')
  t.equal(textOf('file:${A}/x'), 'content of one/x')
  t.equal(textOf('$$file:secret'), 'file:secret')
  t.equal(textOf('not file:secret'), 'not file:secret')
  t.same(expand('file:${A}', sources).pieces, [{ value: 'content of one' }])
})

t.test('what is no reference is refused', async t => {
  for (const text of ['${', '${}', '${A', '${A-}', '${1}', '${A:-${A}}', '${NONE}', 'file:', '${A:x}'])
    t.throws(() => textOf(text), Refusal, text)
})

t.test('a value that would be too long is refused', async t => {
  const long = { ...sources, variable: () => 'x'.repeat(100_000) }
  t.throws(() => expand('${A}'.repeat(100), long), /is longer than/)
})

t.test('any text without references stays as it is', async () => {
  fc.assert(
    fc.property(fc.string(), text => {
      fc.pre(!text.includes('${') && !text.startsWith('file:') && !text.startsWith('$$file:'))
      return textOf(text) === text
    })
  )
})

t.test('any text can be written so that it stands for itself', async () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom('$', '{', '}', 'A', 'file:', ':-', 'x')), parts => {
      const text = parts.join('')
      const escaped = text.replaceAll('${', () => '$${').replace(/^file:/, '$$$$file:')
      // What begins with the escape of `file:` needs no escape, and cannot get one.
      fc.pre(!text.startsWith('$$file:'))
      return textOf(escaped) === text
    })
  )
})

t.test('whatever variables hold is there as it is, and known as a piece', async () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (before, value) => {
      fc.pre(!before.includes('$') && !before.startsWith('file:'))
      const { text, pieces } = expand(`${before}\${X}`, { ...sources, variable: () => value })
      return text === before + value && pieces[0]!.value === value
    })
  )
})
