import fc from 'fast-check'
import t from 'tap'
import { compileFilter } from '../../src/tape/filter.ts'
import type { TapeFrame } from '../../src/tape/format.ts'
import { sketchOf } from '../../src/tape/line-sketch.ts'
import { Pairing } from '../../src/tape/pairing.ts'
import { parseFrame } from '../../src/tape/reader.ts'
import { SoughtLines } from '../../src/tape/sought-lines.ts'

/** Spellings of one text in JSON: escaped slashes, unicode escapes, blanks. */
type Spelling = (json: string) => string

const spellings: readonly Spelling[] = [
  json => json,
  json => json.replaceAll('/', '\\/'),
  json => json.replace(/tools|ping/g, word => `\\u00${word.charCodeAt(0).toString(16)}${word.slice(1)}`),
  json => json.replace(/[{},:]/g, c => `${c} `),
  json => json.slice(0, -3)
]

const method = fc.constantFrom('tools/call', 'tools/list', 'ping', 'notifications/progress', '', 'tools\\call', '"')
const id = fc.oneof(fc.nat(3), fc.constantFrom('a', '1', 'é', 'a"b', '\\'), fc.constant(null), fc.double())
const content = fc.oneof(
  fc.json({ maxDepth: 3 }).map(text => JSON.parse(text) as unknown),
  fc.constantFrom<unknown>({ id: 1, method: 'tools/call' }, ['"', '\\', '\\"', '},"text":"', '\n', '\u0000', '\ud800'])
)
const message = fc.oneof(
  fc.record({ jsonrpc: fc.constant('2.0'), id, method, params: content }),
  fc.record({ method, params: content, jsonrpc: fc.constant('2.0') }, { requiredKeys: ['method'] }),
  fc.record({ result: content, jsonrpc: fc.constant('2.0'), id }),
  fc.record({ id, error: fc.record({ code: fc.integer(), message: fc.string() }) }),
  content
)
const text = fc
  .tuple(
    fc.oneof({ weight: 6, arbitrary: message }, fc.array(message, { maxLength: 3 })),
    fc.constantFrom(...spellings)
  )
  .map(([value, spell]) => spell(JSON.stringify(value)))

const frame = fc
  .record(
    {
      session: fc.constantFrom('s1', 's2', 'sé'),
      stream: fc.constantFrom('post-1', 'post-2', 'stdio'),
      http: fc.constantFrom({ status: 200, headers: [['a', '},"text":"{']] }, { method: 'POST', path: '/' }),
      sse: fc.constantFrom({ id: '1', event: 'message' }),
      text,
      truncated: fc.constant(undefined),
      own: fc.constant(true),
      outcome: fc.constantFrom('complete', 'closed "x"'),
      redacted: fc.constant(['json:/a', 'header:é'])
    },
    { requiredKeys: ['text'] }
  )
  .chain(rest =>
    fc.record({
      side: fc.constantFrom('client', 'server'),
      dir: fc.constantFrom('up', 'down'),
      kind: fc.constantFrom('message', 'message', 'message', 'end', 'later'),
      rest: fc.constant(rest)
    })
  )
  .map(({ rest, ...place }) => ({ ...place, ...rest }))

t.test('searching by method finds what reading everything finds, with the same answers', t => {
  fc.assert(
    fc.property(
      fc.array(frame, { maxLength: 30 }),
      fc.constantFrom('tools/*', 'tools/call', 'ping', '**', '?ools/list', 'notifications/**'),
      (frames, glob) => {
        const lines = frames.map((f, i) => Buffer.from(JSON.stringify({ n: i + 1, t: i * 1.5, ...f })))
        const passes = compileFilter({ method: glob })!
        const all = new Pairing()
        const slow = lines.map(line => {
          const whole = parseFrame(line)
          return { frame: whole, seen: all.see(whole) }
        })
        const sought = new SoughtLines(new Pairing(), glob)
        const fast = lines.map(line => sought.read(line)).filter(found => found !== undefined)
        t.strictSame(
          fast.filter(({ frame, seen }) => passes(frame, seen)),
          slow.filter(({ frame, seen }) => passes(frame, seen))
        )
      }
    ),
    { numRuns: 1000 }
  )
  t.end()
})

t.test('what is read off a line is what parsing it finds', t => {
  const line = (text: string, more = {}): Buffer =>
    Buffer.from(
      JSON.stringify({
        n: 7,
        t: 1.25,
        side: 'client',
        dir: 'up',
        kind: 'message',
        session: 's1',
        stream: 'post-1',
        text,
        ...more
      })
    )
  t.match(sketchOf(line('{"id":1,"method":"tools/call","params":{"a":"\\"}\\\\"}}')), {
    n: 7,
    t: 1.25,
    session: 's1',
    message: { id: '1', method: 'tools/call', hasResult: false }
  })
  t.match(sketchOf(line('{"result":{"content":[{"text":"a\\nb"}]},"id":"x"}', { own: true, redacted: ['json:/a'] })), {
    message: { id: '"x"', method: undefined, hasResult: true }
  })
  t.end()
})

t.test('whatever is unusual is left to the parser', t => {
  const begin = '{"n":1,"t":0,"side":"client","dir":"up","kind":"message"'
  const odd: Record<string, string> = {
    'an escaped method': `${begin},"text":"{\\"id\\":1,\\"method\\":\\"tools\\\\/call\\"}"}`,
    'a unicode escape': `${begin},"text":"{\\"id\\":1,\\"method\\":\\"tools\\u002fcall\\"}"}`,
    'a batch': `${begin},"text":"[]"}`,
    'a second id': `${begin},"text":"{\\"id\\":1,\\"id\\":2,\\"method\\":\\"a\\"}"}`,
    'a text that was cut': `${begin},"text":"{\\"id\\":1,\\"params\\":{","truncated":{}}`,
    'another order of members': '{"t":0,"n":1,"side":"client","dir":"up","kind":"end"}',
    'no text': `${begin}}`,
    'a torn line': `${begin},"text":"{\\"id\\":1`
  }
  for (const [name, line] of Object.entries(odd)) t.equal(sketchOf(Buffer.from(line)), undefined, name)
  t.throws(() => new SoughtLines(new Pairing(), 'ping').read(Buffer.from('{"n":1')), SyntaxError)
  t.end()
})

t.test('ids that are used again find the request on their own stream, whatever its method', t => {
  const frames: Partial<TapeFrame>[] = [
    { dir: 'up', stream: 'post-1', text: '{"id":1,"method":"tools/list"}' },
    { dir: 'up', stream: 'post-2', text: '{"id":1,"method":"tools/call"}' },
    { dir: 'down', stream: 'post-1', text: '{"id":1,"result":{}}' },
    { dir: 'down', stream: 'post-2', text: '{"id":1,"result":{}}' }
  ]
  const sought = new SoughtLines(new Pairing(), 'tools/call')
  const passes = compileFilter({ method: 'tools/call' })!
  const found = frames.filter((f, i) => {
    const { dir, ...rest } = f
    const line = { n: i + 1, t: i, side: 'client', dir, kind: 'message', ...rest }
    const hit = sought.read(Buffer.from(JSON.stringify(line)))
    return hit && passes(hit.frame, hit.seen)
  })
  t.strictSame(
    found.map(f => [f.dir, f.stream]),
    [
      ['up', 'post-2'],
      ['down', 'post-2']
    ]
  )
  t.end()
})
