import t from 'tap'
import { FrameEncoder, lineOf } from '../../src/tape/encoder.ts'
import { MARK, type TapeFrame } from '../../src/tape/format.ts'
import type { Frame } from '../../src/tape/frame.ts'
import { parseFrame } from '../../src/tape/reader.ts'
import { Redactor, type RedactorOptions } from '../../src/tape/redact.ts'
import { message } from './fixtures.ts'

function encode(frame: Frame, options: RedactorOptions): TapeFrame {
  return parseFrame(Buffer.from(lineOf(1, 0, new FrameEncoder(new Redactor(options)).body(frame))))
}

t.test('known secrets vanish from messages in any spelling, and the message stays JSON', async t => {
  const secret = 'pa"ss\\wörd/<&>'
  const options = { secrets: [secret] }
  const spelled = [
    JSON.stringify({ a: secret }),
    JSON.stringify({ a: JSON.stringify({ b: secret }) }),
    JSON.stringify({ a: secret }).replaceAll('/', '\\/'),
    JSON.stringify({ a: secret }).replace('ö', '\\u00f6'),
    JSON.stringify({ a: secret }).replace(/[<>&]/g, c => `\\u00${c.charCodeAt(0).toString(16)}`),
    JSON.stringify({ a: `https://h/?x=${encodeURIComponent(secret)}` }),
    JSON.stringify({ [secret]: 1 })
  ]
  for (const text of spelled) {
    const frame = encode(message(text), options)
    t.type(JSON.parse(frame.text!), 'object')
    t.match(frame.text, '[redacted]', text)
    t.strictSame(frame.redacted, ['literal'])
  }
  const numeric = encode(message('{"id":123456789,"a":"x 123456789","b":1123456789, "c":7}'), {
    secrets: ['123456789']
  })
  t.strictSame(JSON.parse(numeric.text!), { id: MARK, a: `x ${MARK}`, b: MARK, c: 7 })
  const structure = encode(message('{"env":{"a":"b"}}'), { secrets: ['{"a":"b"}'] })
  t.equal(structure.text, '"[redacted]"')
  const within = encode(message('{"a":"\\nabcdef"}'), { secrets: ['nabcdef'] })
  t.equal(within.text, '{"a":"\\nabcdef"}', 'a match that begins within an escape is none')
})

t.test('a secret cut in two by truncation leaves no half behind', async t => {
  const frame = { ...message('{"a":"hello CANARY12'), truncated: { length: 100, sha256: 'a'.repeat(64) } }
  t.equal(encode(frame, { secrets: ['CANARY123456789'] }).text, '{"a":"hello [redacted]')
})

t.test('short secrets are ignored and observed ones are bounded', async t => {
  const redactor = new Redactor({ secrets: ['abc'], maxObserved: 3 })
  t.equal(redactor.scrub('abc'), 'abc')
  for (let i = 0; i < 10; i++) redactor.secretHeader('X-Token', `credential-${i}`)
  t.equal(redactor.literals.size, 3)
  t.equal(redactor.scrub('credential-9 credential-0'), '[redacted] credential-0')
})

t.test('a credential that was forgotten is remembered when it is seen again', async t => {
  const encoder = new FrameEncoder(new Redactor({ maxObserved: 1 }))
  const says = (value: string, text: string) =>
    encoder.body(message(`{"a":"${text}"}`, { http: { headers: ['X-Token', value] } }))
  says('first-token-1', '')
  encoder.body(message('{}', { http: { headers: ['Y-Token', 'second-token-2'] } }))
  t.notMatch(says('first-token-1', 'first-token-1'), 'first-token-1')
})
