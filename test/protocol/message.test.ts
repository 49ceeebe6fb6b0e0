import fc from 'fast-check'
import t from 'tap'
import { MalformedMessage, Message } from '../../src/protocol/message.ts'
import { allowsBatch, eraOf } from '../../src/protocol/versions.ts'

const parse = (text: string): Message => Message.parse(Buffer.from(text))

function refusal(
  text: string | Buffer,
  parse: (bytes: Buffer) => unknown = bytes => Message.parse(bytes)
): string | undefined {
  try {
    parse(Buffer.isBuffer(text) ? text : Buffer.from(text))
  } catch (error) {
    if (error instanceof MalformedMessage) return error.kind
    throw error
  }
  return undefined
}

t.test('a message keeps its bytes and tells its kind, id and method', async t => {
  const text = ' {"jsonrpc" : "2.0", "id":9007199254740993, "method":"tools\\/call","params":{"name":"a\\u0062"} }\n'
  const m = parse(text)
  t.equal(m.bytes.toString(), text)
  t.match(m, { kind: 'request', idText: '9007199254740993', method: 'tools/call' })
  t.equal(m.name, 'ab')
  t.equal(parse('{"jsonrpc":"2.0","method":"x"}').kind, 'notification')
  t.equal(parse('{"jsonrpc":"2.0","id":"é","result":null}').idText, '"é"')
  t.equal(parse('{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":""}}').isError, true)
})

t.test('an error for an id that could not be read answers nothing', async t => {
  for (const id of ['"id":null,', '']) {
    const m = parse(`{"jsonrpc":"2.0",${id}"error":{"code":-32700,"message":"?"}}`)
    t.match(m, { kind: 'response', idText: undefined })
  }
})

t.test('what is no message is told apart: not JSON, not JSON-RPC, ambiguous', async t => {
  const cases: [string, string][] = [
    ['', 'json'],
    ['nonsense', 'json'],
    ['{"jsonrpc":"2.0","id":1,"method":"a"} x', 'json'],
    ['{"jsonrpc":"2.0","id":1,"method":"a",}', 'json'],
    ['{"jsonrpc":"2.0","id":01,"method":"a"}', 'json'],
    ['{"jsonrpc":"2.0","id":1,"method":"\u0001"}', 'json'],
    ['{"jsonrpc":"2.0","id":1,"method":"\\x"}', 'json'],
    ['{"jsonrpc":"2.0","id":1,"method":"\\u12g4"}', 'json'],
    ['1', 'rpc'],
    ['[]', 'rpc'],
    ['{}', 'rpc'],
    ['{"jsonrpc":"1.0","id":1,"method":"a"}', 'rpc'],
    ['{"id":1,"method":"a"}', 'rpc'],
    ['{"jsonrpc":"2.0","id":1}', 'rpc'],
    ['{"jsonrpc":"2.0","id":null,"method":"a"}', 'rpc'],
    ['{"jsonrpc":"2.0","id":{},"method":"a"}', 'rpc'],
    ['{"jsonrpc":"2.0","id":true,"result":1}', 'rpc'],
    ['{"jsonrpc":"2.0","method":1}', 'rpc'],
    ['{"jsonrpc":"2.0","result":1}', 'rpc'],
    ['{"jsonrpc":"2.0","id":1,"method":"a","result":1}', 'rpc'],
    ['{"jsonrpc":"2.0","jsonrpc":"2.0","id":1,"method":"a"}', 'duplicate'],
    ['{"jsonrpc":"2.0","id":1,"id":2,"method":"a"}', 'duplicate'],
    ['{"jsonrpc":"2.0","id":1,"\\u0069d":2,"method":"a"}', 'duplicate'],
    ['{"jsonrpc":"2.0","id":1,"method":"a","method":"b"}', 'duplicate'],
    ['{"jsonrpc":"2.0","id":1,"method":"a","Method":"b"}', 'duplicate'],
    ['{"jsonrpc":"2.0","id":1,"METHOD":"b","method":"a"}', 'duplicate'],
    ['{"jsonrpc":"2.0","id":1,"method":"a","params":{},"params":{}}', 'duplicate'],
    ['{"jsonrpc":"2.0","id":1,"method":"a","params":{"name":"a","name":"b"}}', 'duplicate'],
    ['{"jsonrpc":"2.0","id":1,"method":"a","params":{"uri":"a","URI":"b"}}', 'duplicate'],
    ['{"jsonrpc":"2.0","id":1,"method":"a","params":{"_meta":{},"_meta":{}}}', 'duplicate']
  ]
  for (const [text, kind] of cases) t.equal(refusal(text), kind, text)
  t.equal(refusal(Buffer.from([0x7b, 0xff, 0x7d])), 'json', 'bytes that are no UTF-8')
})

t.test('a server may repeat members as it likes: the last counts, as for most parsers, and its bytes stay', async t => {
  const text = '{"jsonrpc":"2.0","id":1,"id":2,"ID":3,"result":{"a":1},"result":{}}'
  const m = Message.parse(Buffer.from(text), 'server')
  t.match(m, { kind: 'response', idText: '2' })
  t.equal(m.withId('7').bytes.toString(), text.replace('"id":2', '"id":7'))
})

t.test('unknown members, and duplicates where nothing hangs on them, are nobody’s business', async t => {
  const fine = [
    '{"jsonrpc":"2.0","id":1,"method":"a","params":{"arguments":{"name":1,"name":2}},"x":1,"x":2}',
    '{"jsonrpc":"2.0","id":1,"method":"a","params":{"Name":"x","URI":1}}',
    '{"jsonrpc":"2.0","id":1,"method":"a","params":[1,{"name":1}]}',
    '{"jsonrpc":"2.0","id":1,"result":{"id":1,"method":"x","name":1,"name":2}}'
  ]
  for (const text of fine) t.equal(refusal(text), undefined, text)
})

t.test('any JSON that JSON.parse takes is taken, and what it refuses is refused', async () => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 6 }), fc.constantFrom('', ' ', '\n\t\r '), (json, space) => {
      const text = `${space}{${space}"jsonrpc":"2.0",${space}"id":1,"result"${space}:${json}${space}}${space}`
      return Message.parse(Buffer.from(text)).bytes.toString() === text
    })
  )
  fc.assert(
    fc.property(fc.json(), fc.nat(), fc.string({ maxLength: 2 }), (json, at, junk) => {
      const whole = `{"jsonrpc":"2.0","id":1,"result":${json}}`
      const cut = at % whole.length
      const text = whole.slice(0, cut) + junk + whole.slice(cut + 1)
      let valid = true
      try {
        JSON.parse(text)
      } catch {
        valid = false
      }
      // As a body, since what begins with a bracket is a batch.
      return (refusal(text, bytes => Message.parseBody(bytes)) !== 'json') === valid
    }),
    { numRuns: 2000 }
  )
})

t.test('what may not stand in a long string is found wherever it stands', async t => {
  // Long strings are walked four bytes at a time, from where memory allows it.
  for (const odd of [
    '"',
    '\\',
    '\u0000',
    '\u001f',
    '\n',
    '\\n',
    '\\u12',
    ' ',
    '!',
    '#',
    '[',
    ']',
    '\u007f',
    'ü',
    '\u2028',
    '😀'
  ])
    for (let at = 0; at < 160; at++) {
      const text = `{"jsonrpc":"2.0","id":1,"result":"${'x'.repeat(at)}${odd}${'y'.repeat(160 - at)}"}`
      const bytes = Buffer.from(`${' '.repeat(at % 5)}${text}`)
      let valid = true
      try {
        JSON.parse(text)
      } catch {
        valid = false
      }
      const taken = refusal(text, () => Message.parse(bytes.subarray(at % 5))) === undefined
      if (taken !== valid) t.fail(`${JSON.stringify(odd)} at ${at}: ${taken ? 'taken' : 'refused'}`)
    }
  for (let length = 0; length < 160; length++)
    if (refusal(`{"jsonrpc":"2.0","id":1,"result":"${'x'.repeat(length)}`) !== 'json') t.fail(`open after ${length}`)
})

t.test('depth costs no stack', async t => {
  const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`
  t.equal(refusal(`{"jsonrpc":"2.0","id":1,"result":${deep}}`), undefined)
})

t.test('replacing an id changes the id’s bytes and no other', async () => {
  const id = fc.oneof(
    fc.bigInt().map(String),
    fc.string().map(s => JSON.stringify(s)),
    fc.double({ noNaN: true, noDefaultInfinity: true }).map(n => JSON.stringify(n))
  )
  fc.assert(
    fc.property(id, id, fc.json(), (before, after, json) => {
      const text = (i: string): string => `{"result": ${json} ,"id": ${i} , "jsonrpc":"2.0"}`
      const m = parse(text(before)).withId(after)
      return m.bytes.toString() === text(after) && m.idText === after
    })
  )
})

t.test('tokens, request ids and subscription ids are found where they belong and replaced there', async t => {
  const call = parse(
    '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"_meta":{"progressToken":"p"},"progressToken":7}}'
  )
  t.equal(call.progressTokenText, '"p"')
  t.match(call.withProgressToken('2').bytes.toString(), '"_meta":{"progressToken":2},"progressToken":7')
  const progress = parse(
    '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1.0,"progress":1}}'
  )
  t.equal(progress.progressTokenText, '1.0')
  const cancelled = parse('{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"x"}}')
  t.equal(cancelled.withRequestId('5').bytes.toString(), cancelled.bytes.toString().replace('"x"', '5'))
  const sub = '{"jsonrpc":"2.0","id":3,"result":{"_meta":{"io.modelcontextprotocol/subscriptionId":3}}}'
  t.equal(parse(sub).withSubscriptionId('"s"').bytes.toString(), sub.replace('Id":3', 'Id":"s"'))
})

t.test('raw line ends go, those inside strings were never raw', async t => {
  const m = parse('{\r\n "jsonrpc":"2.0",\n"id":1,"result":"a\\nb"\r}')
  t.equal(m.oneLine().toString(), '{ "jsonrpc":"2.0","id":1,"result":"a\\nb"}')
  t.same(JSON.parse(m.oneLine().toString()), m.json)
})

t.test('a batch is taken apart into messages with bytes of their own', async t => {
  const text = ' [ {"jsonrpc":"2.0","id":1,"method":"a"} , {"jsonrpc":"2.0","method":"b"}\n] '
  const batch = Message.parseBody(Buffer.from(text))
  if (batch instanceof Message) return t.fail('a batch is an array')
  t.same(
    batch.map(m => m.bytes.toString()),
    ['{"jsonrpc":"2.0","id":1,"method":"a"}', '{"jsonrpc":"2.0","method":"b"}']
  )
  for (const bad of ['[]', '[1]', '[{"jsonrpc":"2.0","id":1,"method":"a"}', '[{}]x'])
    t.throws(() => Message.parseBody(Buffer.from(bad)), { name: 'MalformedMessage' })
})

t.test('revisions sort into eras by their date; one that is no date tells nothing', async t => {
  for (const v of ['2024-11-05', '2025-03-26', '2025-11-25']) t.equal(eraOf(v), 'legacy')
  for (const v of ['2026-07-28', '2027-01-01']) t.equal(eraOf(v), 'modern')
  t.equal(eraOf('DRAFT-2026-v1'), undefined)
  t.equal(allowsBatch(undefined), true)
  t.equal(allowsBatch('2025-03-26'), true)
  for (const v of ['2024-11-05', '2025-06-18', '2026-07-28']) t.equal(allowsBatch(v), false)
})
