import { readdirSync, readFileSync } from 'node:fs'
import os from 'node:os'
import t from 'tap'
import { readRecording } from '../../src/replay/recording.ts'
import { DEFAULT_RULES } from '../../src/replay/rules.ts'
import { validateTape } from '../../src/tape/validate.ts'
import { learn } from '../../src/verify/learn.ts'
import { Spill } from '../../src/verify/spill.ts'
import { updateTapes } from '../../src/verify/update.ts'
import { verifyOnce } from '../../src/verify/verify.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { down, request, result, tapeOf, up } from '../replay/recording-door.ts'

const MB = 1024 * 1024

t.test('what is put away beyond the bound is on the disk, comes back as it was, and leaves nothing behind', t => {
  const left = (): string[] => readdirSync(os.tmpdir()).filter(name => name.startsWith('catflap-answers-'))
  const before = left()
  const spill = new Spill(10)
  const texts = ['short', 'longer than that', '', 'and äöü', 'x'.repeat(100_000)]
  const away = texts.map(text => spill.put(Buffer.from(text)))
  t.equal(spill.spilled, Buffer.byteLength(texts.slice(1).join('')))
  t.same(
    away.map(get => get().toString()),
    texts
  )
  t.same(
    away
      .toReversed()
      .map(get => get().toString())
      .toReversed(),
    texts
  )
  if (process.platform !== 'win32') t.same(left(), before, 'no name that another could open')
  spill.close()
  spill.close()
  t.same(left(), before)
  t.end()
})

t.test('what is kept in memory does not keep what it is a part of', t => {
  const whole = Buffer.from('one two')
  const get = new Spill().put(whole.subarray(0, 3))
  whole.fill('x')
  t.equal(get().toString(), 'one')
  t.end()
})

const CALLS = [1, 2, 3, 4, 5]

/** Answers each call with as many bytes, which begin with what makes this life of it another. */
function largeServer(size: number): { command: string; args: string[] } {
  const source = `
    const life = Math.random().toString(36).slice(2)
    require('node:readline').createInterface({ input: process.stdin }).on('line', line => {
      const { id, params } = JSON.parse(line)
      const text = params.name + ' ' + 'y'.repeat(${size})
      console.log(JSON.stringify({ jsonrpc: '2.0', id, result: { content: [{ type: 'text', text }], life } }))
    })`
  return { command: process.execPath, args: ['-e', source] }
}

t.test('answers larger than memory should hold are learned from, and written into the tape', async t => {
  trackLeaks(t)
  const file = tapeOf(
    t,
    CALLS.flatMap(id => [
      up('stdio', request(id, 'tools/call', { name: `large-${id}` })),
      down('stdio', result(id, { content: [{ type: 'text', text: 'small' }], life: 'first' }))
    ])
  )
  const recording = await readRecording([file])
  const options = { target: largeServer(4 * MB), allowWrites: true, timeout: 60_000 }
  const [first, second] = [await verifyOnce(recording, options, true), await verifyOnce(recording, options, true)]
  t.teardown(() => {
    for (const { answers } of [first, second]) answers.close()
    recording.close()
  })
  t.ok(first.answers.spill.spilled >= 4 * MB, `${first.answers.spill.spilled} bytes on the disk`)
  const learned = learn(first, second, DEFAULT_RULES)
  t.same(
    learned.rules.answers.map(rule => [rule.name, Object.keys(rule).sort()]),
    CALLS.map(id => [`large-${id}`, ['ignore', 'method', 'name']])
  )
  t.same(first.report().outcome, 'different')
  t.same(await updateTapes(recording, first, options), { changed: 5, left: [] })
  const written = readFileSync(file, 'utf8').trimEnd().split('\n').slice(1)
  const answers = written.map(line => JSON.parse(JSON.parse(line).text)).filter(message => message.result)
  t.same(
    answers.map(({ id, result }) => [id, result.content[0].text.length, result.content[0].text.slice(0, 9)]),
    CALLS.map(id => [id, `large-${id} `.length + 4 * MB, `large-${id} y`])
  )
  for await (const finding of validateTape(file)) t.fail(finding.text)
})
