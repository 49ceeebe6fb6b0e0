/** What a peer sends as a credential cannot blind the tape for others. */
import t from 'tap'
import { FrameEncoder } from '../../src/tape/encoder.ts'
import { isPlausibleCredential } from '../../src/tape/plausible.ts'
import { Redactor } from '../../src/tape/redact.ts'
import { message, note } from './fixtures.ts'

const CALL = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"rm","arguments":{"path":"/etc"}}}'

t.test('names, words and pieces of JSON are no credentials', async t => {
  const words = [
    'tools/call',
    'notifications/initialized',
    '"jsonrpc":"2.0"',
    'structuredContent',
    'MCP-Protocol-Version'
  ]
  for (const word of [
    ...words,
    '2025-11-25',
    'application/json',
    '{"a":1}xxxxxxxxxx',
    '123456789012',
    'a b c d e f 1 2 3'
  ])
    t.notOk(isPlausibleCredential(word), word)
  for (const key of [
    'sk-live-51Habc',
    'CANARY1q7zX9k',
    'bGlnaHRXb3JrLgXyZaBcQq',
    '0f8fad5b-d9cb-469f-a165-70867728950e'
  ])
    t.ok(isPlausibleCredential(key), key)
})

for (const value of ['tools/call', '"jsonrpc":"2.0"', '"method":"tools/call"', '{"path":"/etc"}']) {
  t.test(`a client that presents ${value} as its key hides nothing`, async t => {
    const encoder = new FrameEncoder(new Redactor())
    const headers = ['X-Api-Key', value, 'Mcp-Session-Id', value, 'Cookie', `sid=${value}`]
    const own = encoder.body(message(CALL, { session: 's1', http: { headers } }))
    t.notMatch(own, value === 'tools/call' ? `"X-Api-Key","${value}` : `Key",${JSON.stringify(value)}`)
    for (const session of ['s1', 's2']) t.match(encoder.body(message(CALL, { session })), JSON.stringify(CALL))
  })
}

t.test('who was refused teaches nothing: neither by a header, nor by a URL, nor by what is said of it', async t => {
  const encoder = new FrameEncoder(new Redactor())
  const word = 'echo-tool-2026'
  const headers = ['X-Api-Key', word, 'Mcp-Session-Id', word]
  const stranger = { unproven: true, http: { path: `/mcp?token=${word}`, headers } }
  t.notMatch(encoder.body(message('{}', stranger)), word)
  encoder.body(note('refused', `token=${word}`, { unproven: true }))
  const call = JSON.stringify({ method: 'tools/call', params: { name: word } })
  t.match(encoder.body(message(call)), word)
  // Nor does its having been seen keep it from being learnt from one who is believed.
  encoder.body(message('{}', { http: { headers } }))
  t.notMatch(encoder.body(message(call)), word)
})

t.test('a secret that stderr shows in a header or after its scheme is known from then on', async t => {
  const redactor = new Redactor()
  const encoder = new FrameEncoder(redactor)
  encoder.body(note('stderr', 'sent Authorization: Bearer CANARY4711qZ to the server'))
  t.notMatch(encoder.body(message('{"a":"CANARY4711qZ"}')), 'CANARY4711qZ')
  t.equal(redactor.scrub('refused: bearer hun2XYcanary99'), 'refused: bearer [redacted]')
  t.notMatch(redactor.scrub('again hun2XYcanary99'), 'hun2XY')
})
