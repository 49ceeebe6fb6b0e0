import fc from 'fast-check'
import t from 'tap'
import { MAX_REFUSAL, refusesInWords, refusesSession } from '../../src/protocol/session-refusal.ts'

const says = (body: unknown): boolean =>
  refusesSession(Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)))
const refusal = (code: unknown, message: unknown, more: object = {}) => ({
  jsonrpc: '2.0',
  error: { code, message },
  ...more
})

t.test('what servers say that do not know a session', async t => {
  for (const [code, message] of [
    [-32_000, 'Bad Request: No valid session ID provided'],
    [-32_000, 'Bad Request: No valid session ID'],
    [-32_000, 'Bad Request: Server not initialized'],
    [-32_001, 'Session not found'],
    [-32_019, 'the SESSION is gone'],
    [-32_000, 'not yet initialised'],
    [-32_000, 'it has not been initialized']
  ] as const) {
    t.ok(says(refusal(code, message, { id: null })), message)
    t.ok(says(refusal(code, message)), `${message}, without id`)
  }
  t.ok(says(' {"id" : null, "jsonrpc":"2.0",\n"error":{"data":1,"message":"no session","code":-32000.0}} '))
})

t.test('the same in words', async t => {
  for (const text of ['Bad Request: No valid session ID provided', 'Invalid session ID\n', 'unknown session'])
    t.ok(refusesInWords(Buffer.from(text)), text)
  for (const text of [
    'Bad Request',
    'No valid sessions',
    'the session is busy',
    '<p>Invalid session</p>',
    'Invalid session {"a":1}',
    `Invalid session ${'x'.repeat(300)}`
  ])
    t.notOk(refusesInWords(Buffer.from(text)), text)
})

t.test('anything else they refuse', async t => {
  const session = 'no valid session'
  for (const id of [0, 1, '', 'a'])
    t.notOk(says(refusal(-32_000, session, { id })), `with the id ${JSON.stringify(id)}`)
  for (const code of [
    -31_999,
    -32_002,
    -32_020,
    -32_022,
    -32_099,
    -32_600,
    -32_601,
    -32_602,
    -32_700,
    0,
    -32_000.5,
    '-32000'
  ])
    t.notOk(says(refusal(code, session)), `with the code ${code}`)
  for (const message of ['Parse error', 'Bad Request: Unsupported protocol version', 'Invalid event ID format', '', 7])
    t.notOk(says(refusal(-32_000, message)), `with the message ${message}`)
  for (const body of [
    [refusal(-32_000, session)],
    { error: { code: -32_000, message: session } },
    { jsonrpc: '2.0', error: session },
    { jsonrpc: '2.0', error: null },
    { jsonrpc: '2.0', method: 'notifications/session' },
    { jsonrpc: '2.0', id: null, result: { session } },
    `${JSON.stringify(refusal(-32_000, session))} {}`,
    'Bad Request: No valid session ID provided',
    '',
    'null'
  ])
    t.notOk(says(body), JSON.stringify(body))
  t.notOk(says(refusal(-32_000, session + ' '.repeat(MAX_REFUSAL))), 'too long')
})

t.test('whatever a body is, it is judged without a fault, and never by one that names a request', async () => {
  const id = fc.oneof(fc.integer(), fc.string())
  fc.assert(fc.property(id, fc.string(), (id, text) => !says(refusal(-32_000, `session ${text}`, { id }))))
  fc.assert(fc.property(fc.uint8Array(), bytes => !refusesSession(Buffer.from(bytes))))
  fc.assert(fc.property(fc.jsonValue(), value => typeof says({ jsonrpc: '2.0', error: value }) === 'boolean'))
  fc.assert(
    fc.property(
      fc.integer({ min: -32_019, max: -32_000 }),
      fc.string(),
      fc.string(),
      (code, before, after) => says(refusal(code, `${before} session ${after}`)) === (code !== -32_002)
    )
  )
})
