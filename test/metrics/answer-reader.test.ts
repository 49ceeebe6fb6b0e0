import t from 'tap'
import { AnswerReader, failureIn } from '../../src/metrics/answer-reader.ts'

/** What an answer of these bytes is counted as; undefined: as no error. */
const failureOf = (text: string): string | undefined => failureIn(Buffer.from(text))?.type

/** The same where it comes in two chunks. */
function inTwo(text: string): string | undefined {
  const bytes = Buffer.from(text)
  const head = { status: 200, statusText: '', headers: [], length: bytes.length, encoding: undefined }
  const reader = new AnswerReader({ ...head, type: 'json' })
  for (const part of [bytes.subarray(0, 20), bytes.subarray(20)]) reader.data(part)
  reader.end()
  return reader.failure?.type
}

const result = (members: string): string => `{"jsonrpc":"2.0","id":1,"result":{${members}}}`

t.test('an error is found however it is written', async t => {
  for (const [text, type] of [
    ['{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}', '-32601'],
    ['{"error" :\r\n\t{"message":"no","code":-32601},"id":1,"jsonrpc":"2.0"}', '-32601'],
    ['{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"error"}}', '-32700'],
    ['{"error":0,"jsonrpc":"2.0","id":1}', '_OTHER'],
    ['{"jsonrpc":"2.0","id":1,"error":0}', '_OTHER'],
    [result('"isError":true'), 'tool_error'],
    [result('"isError" \n:\t true ,"content":[]'), 'tool_error'],
    [result('"structuredContent":{"isError":false,"error":"error"},"isError":true'), 'tool_error'],
    [result('"content":["isError","error"],"isError":true'), 'tool_error']
  ] as const) {
    t.equal(failureOf(text), type, text)
    t.equal(inTwo(text), type, 'in two chunks')
  }
})

t.test('what only looks like one is none', async t => {
  for (const members of [
    '"content":[],"isError":false',
    '"isError" : false , "content":[]',
    '"isError":"true"',
    '"structuredContent":{"isError":true,"error":{"code":-32601}}',
    '"structuredContent":{"lastError":true}',
    '"content":["error","isError","\\"isError\\":true"]',
    '"text":"error"'
  ])
    t.equal(failureOf(result(members)), undefined, members)
  t.equal(failureOf('{"error":'), undefined)
  t.equal(failureOf('"error"'), undefined)
})
