import { readFile } from 'node:fs/promises'
import { Ajv2020 } from 'ajv/dist/2020.js'
import fc from 'fast-check'
import t from 'tap'
import { FrameEncoder, lineOf } from '../../src/tape/encoder.ts'
import type { Frame, FrameKind, NoteKind } from '../../src/tape/frame.ts'
import { Redactor } from '../../src/tape/redact.ts'
import { validateTape } from '../../src/tape/validate.ts'
import { chunksOf, collect, message, note, request, tapeTextOf } from './fixtures.ts'

const root = new URL('../../', import.meta.url)
const schema = JSON.parse(await readFile(new URL('docs/tape.schema.json', root), 'utf8')) as object
const reference = await readFile(new URL('docs/tape-format.md', root), 'utf8')
// `pattern` in the schema is a plain one, so that other languages' validators read it alike.
const validate = new Ajv2020({ strict: true, strictRequired: false, strictTypes: false, allErrors: true }).compile(
  schema
)

const KINDS: FrameKind[] = ['message', 'head', 'event', 'body', 'open', 'end', 'note']
const NOTES: NoteKind[] = [
  'noise',
  'stderr',
  'cancel',
  'disconnect',
  'error',
  'refused',
  'session-start',
  'session-end',
  'session-lost',
  'session-reinitialized',
  'child-start',
  'child-exit',
  'late',
  'dropped'
]

t.test('what the recorder writes fits the schema, and `validate` agrees', async t => {
  const headers = [
    'Authorization',
    'Bearer abcdefgh',
    'Mcp-Session-Id',
    'an-id-on-the-wire',
    'Cookie',
    'a=bcdefghijk',
    'X-Plain',
    '1'
  ]
  const frames: Frame[] = [
    request(
      1,
      'tools/call',
      { pin: 1 },
      { session: 's1', stream: 'post-1', http: { method: 'POST', path: '/mcp?key=abcdefgh', headers } }
    ),
    message('{}', { truncated: { length: 9e6, sha256: 'a'.repeat(64) }, own: true, outcome: 'sent' }),
    { ...message(''), bytes: Buffer.from([0xff, 0x00]) },
    {
      ...message('{"access_token":"abcdefgh"}'),
      kind: 'body',
      http: { status: 200, headers: ['Content-Type', 'application/json'] }
    },
    { time: 5, side: 'client', dir: 'down', kind: 'event', sse: { id: '1', event: 'message', retry: 3000 } },
    { time: 5, side: 'client', dir: 'down', kind: 'head', http: { status: 200, headers: [] } },
    ...KINDS.filter(k => k !== 'message' && k !== 'note').map(
      kind => ({ time: 1, side: 'client', dir: 'up', kind }) as const
    ),
    ...NOTES.map(n =>
      note(n, 'see https://u:passw0rd@h/', { data: { count: 1, signal: null, ok: true, token: 'abcdefgh' } })
    )
  ]
  const redactor = new Redactor({ redactJson: ['/params/pin'], secrets: ['abcdefgh'] })
  const text = await tapeTextOf(t, frames, { redactor, target: { kind: 'stdio', argv: ['x', '--token', 'abcdefgh'] } })
  for (const line of text.trimEnd().split('\n'))
    t.ok(validate(JSON.parse(line)), `${JSON.stringify(validate.errors)} ${line}`)
  t.strictSame(
    (await collect(validateTape('x', chunksOf(text)))).filter(f => !f.text.includes('JSON')),
    []
  )
})

t.test('whatever a tap hands over, the line fits the schema', async () => {
  const text = fc.string({ unit: 'binary', maxLength: 40 })
  const frame = fc.record(
    {
      time: fc.double({ min: 0, max: 1e12, noNaN: true }),
      side: fc.constantFrom('client' as const, 'server' as const),
      dir: fc.constantFrom('up' as const, 'down' as const),
      kind: fc.constantFrom(...KINDS),
      bytes: fc.uint8Array({ maxLength: 60 }).map(a => Buffer.from(a)),
      note: fc.constantFrom(...NOTES),
      text,
      session: text,
      stream: text,
      outcome: text,
      http: fc.record({
        method: text,
        path: text,
        status: fc.integer({ min: 100, max: 599 }),
        headers: fc.array(fc.tuple(text, text)).map(a => a.flat())
      }),
      data: fc.dictionary(
        text.filter(k => k !== '__proto__'),
        fc.oneof(text, fc.integer(), fc.boolean(), fc.constant(null))
      )
    },
    { requiredKeys: ['time', 'side', 'dir', 'kind', 'bytes', 'note'] }
  )
  const encoder = new FrameEncoder(new Redactor({ secrets: ['secret'], redactJson: ['/a'] }))
  fc.assert(
    fc.property(frame, f => validate(JSON.parse(lineOf(1, f.time, encoder.body(f))))),
    { numRuns: 500 }
  )
})

t.test('the reference names every kind, note and member', async t => {
  for (const name of [...KINDS, ...NOTES]) t.match(reference, `| \`${name}\` |`)
  const { $defs } = schema as { $defs: Record<string, { properties?: object }> }
  for (const part of ['header', 'frame'])
    for (const name of Object.keys($defs[part]!.properties!)) t.match(reference, `| \`${name}\` |`)
})

t.test('the example in the reference is a tape', async t => {
  const example = /```json\n([\s\S]*?)```/.exec(reference)![1]!
  t.strictSame(await collect(validateTape('example', chunksOf(example))), [])
  for (const line of example.trimEnd().split('\n')) t.ok(validate(JSON.parse(line)), JSON.stringify(validate.errors))
})
