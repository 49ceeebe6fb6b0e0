/** Bytes pass untouched: arbitrary JSON-RPC in both directions, compared byte by byte. */
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import t from 'tap'
import { idKey, roundedKey } from '../../src/protocol/id.ts'
import { Message } from '../../src/protocol/message.ts'
import { rawPost } from '../helpers/raw-client.ts'
import { initialize, notification } from '../helpers/rpc.ts'
import { pipeDoor, pipeSession, stdioDoor } from './pipe-door.ts'

const RUNS = 150

const space = fc.constantFrom('', '', '', ' ', '  ', '\t')
const number = fc.oneof(
  fc.maxSafeInteger().map(String),
  fc.bigInt().map(String),
  fc.constantFrom(
    '0',
    '-0',
    '1.0',
    '1e400',
    '1.10',
    '-1E+5',
    '9007199254740993',
    '0.1e-7',
    '123456789012345678901234567890'
  )
)
/** Strings as writers of all kinds spell them: plain, escaped where it need not be, with everything above ASCII. */
const text = fc.oneof(
  fc.string({ unit: 'grapheme' }).map(s => JSON.stringify(s)),
  fc.string({ unit: 'binary' }).map(s => JSON.stringify(s.toWellFormed())),
  fc.constantFrom(
    '"\\u0041\\/"',
    '"\\ud83d\\ude00"',
    '"\\ud800"',
    '"\u2028\u2029"',
    '"\\u0000\\n"',
    '""',
    '"\\"id\\":1"'
  )
)
const scalar = fc.oneof(number, text, fc.constantFrom('true', 'false', 'null'))

/** Members may repeat: what a server makes of that is its own affair, below the routing members. */
const json: fc.Arbitrary<string> = fc.letrec<{ value: string }>(tie => ({
  value: fc.oneof(
    { maxDepth: 4, depthSize: 'small' },
    scalar,
    fc
      .tuple(fc.array(tie('value'), { maxLength: 4 }), space, space)
      .map(([all, a, b]) => `[${a}${all.join(`${b},${a}`)}${b}]`),
    fc
      .tuple(fc.array(fc.tuple(fc.oneof(text, fc.constant('"twice"')), tie('value')), { maxLength: 4 }), space, space)
      .map(([all, a, b]) => `{${a}${all.map(([k, v]) => `${k}${b}:${a}${v}`).join(`${b},${a}`)}${b}}`)
  )
})).value

const deep = fc.integer({ min: 1, max: 2_000 }).map(n => `${'['.repeat(n)}1${']'.repeat(n)}`)
const method = fc.oneof(
  fc.constantFrom('tools/call', 'x/unknown', 'notifications/unheard-of'),
  fc.string({ minLength: 1 }).map(s => `m/${s}`)
)
const RESERVED = new Set(['initialize', 'notifications/cancelled', 'notifications/progress'])
/** Everything a message may hold: what catflap reads to route stands among what it knows nothing of, in any order. */
function message(members: readonly fc.Arbitrary<[string, string]>[]): fc.Arbitrary<string> {
  const unknown = fc.tuple(fc.constantFrom('"x-a"', '"x-b"', '"_unknown"', '"é"'), json)
  return fc
    .tuple(
      fc.tuple(...members),
      fc.uniqueArray(unknown, { maxLength: 2, selector: ([k]) => k }),
      space,
      space,
      fc.infiniteStream(fc.nat())
    )
    .map(([known, more, a, b, dice]) => {
      const all = [...known, ...more].map(member => ({ member, at: dice.next().value as number }))
      all.sort((x, y) => x.at - y.at)
      return `${a}{${b}${all.map(({ member: [k, v] }) => `${k}${a}:${b}${v}`).join(`${a},${b}`)}${a}}${b}`
    })
}

const jsonrpc = fc.constant<[string, string]>(['"jsonrpc"', '"2.0"'])
const named = method.filter(m => !RESERVED.has(m)).map<[string, string]>(m => ['"method"', JSON.stringify(m)])
const body = fc.oneof(json, deep)
const params = fc
  .tuple(body, json)
  .map<[string, string]>(([args, other]) => [
    '"params"',
    `{"arguments": ${args},"other" :${other}, "_meta":{"k":${other}}}`
  ])
const result = body.map<[string, string]>(value => ['"result"', value])
const error = json.map<[string, string]>(data => ['"error"', `{"code":-1,"message":"m","data":${data}}`])

const aNotification = message([jsonrpc, named, params])
/** Answers to no request of the other side: they pass like anything else. */
const id = fc
  .oneof(
    number.filter(n => !/[.eE]|^-0$/.test(n)),
    text
  )
  .map<[string, string]>(value => ['"id"', value])
const aRequest = message([jsonrpc, named, params, id])
const anAnswer = fc.oneof(message([jsonrpc, result, id]), message([jsonrpc, error, id]))

t.test('stdio × stdio: what the client says arrives as it was written', async t => {
  const { send, log } = await stdioDoor(t, 'puppet-stdio.ts')
  // The fixture reports on stderr, of which lines are cut after 2 KiB.
  const short = fc.oneof(aNotification, aRequest, anAnswer).filter(said => Buffer.byteLength(said) < 2_000)
  let count = 0
  // Calls of one id at once are another matter: there one of the ids has to change.
  const used = new Set<string>()
  await fc.assert(
    fc.asyncProperty(short, async said => {
      const m = Message.parse(Buffer.from(said))
      const keys = m.kind === 'request' ? [idKey(m.idText!), roundedKey(idKey(m.idText!)) ?? ''] : []
      fc.pre(!keys.some(key => key !== '' && used.has(key)))
      for (const key of keys) used.add(key)
      send(`${said}\n`)
      const seen = await log.nextSeen(count++)
      if (seen !== said) throw new Error(`arrived as ${seen}`)
    }),
    { numRuns: RUNS }
  )
  t.pass()
})

t.test('stdio × stdio: there and back, at any size', async t => {
  const echo = fileURLToPath(new URL('../fixtures/children/echo.mjs', import.meta.url))
  const target = { command: process.execPath, args: [echo] }
  const { send, lines } = await stdioDoor(t, 'raw-stdio.ts', { target })
  await fc.assert(
    fc.asyncProperty(aNotification, async said => {
      send(`${said}\n`)
      const heard = await lines.next()
      if (heard !== said) throw new Error(`came back as ${heard}`)
    }),
    { numRuns: RUNS }
  )
  t.pass()
})

t.test('stdio × stdio: what the server says arrives as it was written', async t => {
  const { send, lines } = await stdioDoor(t, 'puppet-stdio.ts')
  await fc.assert(
    fc.asyncProperty(fc.oneof(aNotification, aRequest), async said => {
      send(notification('say', { write: `${said}\n` }))
      const heard = await lines.next()
      if (heard !== said) throw new Error(`arrived as ${heard}`)
    }),
    { numRuns: RUNS }
  )
  t.pass()
})

t.test('stdio × stdio: arguments come back as they went, with the id as it was', async t => {
  const { send, lines } = await stdioDoor(t, 'raw-stdio.ts')
  await fc.assert(
    fc.asyncProperty(id, body, async ([, idText], args) => {
      const echoed = `{"arguments" :${args}}`
      send(`{"id":${idText}, "jsonrpc":"2.0","params":${echoed},"method":"tools/call"}\n`)
      const heard = await lines.next()
      if (heard !== `{"jsonrpc":"2.0","id":${idText},"result":{"echo":${echoed}}}`)
        throw new Error(`came back as ${heard}`)
    }),
    { numRuns: RUNS }
  )
  t.pass()
})

t.test('HTTP × stdio: the same, but for line ends outside strings', async t => {
  const { url } = await pipeDoor(t, 'raw-stdio.ts', { args: ['--handshake'] })
  const { headers } = await pipeSession(url)
  await fc.assert(
    fc.asyncProperty(id, body, fc.constantFrom('', '\n', '\r\n'), async ([, idText], args, end) => {
      const echoed = `{"arguments":${end} ${args}${end}}`
      const said = `{${end}"id":${idText},"jsonrpc":"2.0",${end}"params":${echoed}, "method":"tools/call"}${end}`
      const { text: heard } = await rawPost(url, said, headers)
      const oneLine = echoed.replaceAll(/[\r\n]/g, '')
      if (heard !== `{"jsonrpc":"2.0","id":${idText},"result":{"echo":${oneLine}}}`)
        throw new Error(`came back as ${heard}`)
    }),
    { numRuns: RUNS }
  )
  t.pass()
})

t.test('HTTP × stdio: what the server says on a stream arrives as it was written', async t => {
  const { url } = await pipeDoor(t, 'puppet-stdio.ts')
  const s = await pipeSession(url)
  const get = await s.listen()
  await fc.assert(
    fc.asyncProperty(aNotification, async said => {
      await s.post(notification('say', { write: `${said}\n` }))
      const { data } = await get.next()
      if (data !== said) throw new Error(`arrived as ${data}`)
    }),
    { numRuns: RUNS }
  )
  t.pass()
})

t.test('the handshake is no exception', async t => {
  const { send, lines, log } = await stdioDoor(t, 'raw-stdio.ts', { args: ['--handshake', '--seen'] })
  const odd = ` ${JSON.stringify(initialize(0)).replace('"id":0', '"id" : 9007199254740993 , "x":1.0')} `
  send(`${odd}\r\n`)
  t.match(await lines.next(), '"id":9007199254740993,')
  t.same(log.seen, [odd])
})
