/**
 * A test whose server is a tape: the real server is asked once, and never again.
 *
 *   node --test examples/test-with-tape.ts                     from the tape; the first time it is recorded
 *   CATFLAP_RECORD=1 node --test examples/test-with-tape.ts    with the reference server, recorded anew
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
// In a project of your own: import { useTape } from 'catflap'
import { useTape } from '../src/index.ts'
import { targetFrom } from './target.ts'

const dir = process.env.TAPES ?? fileURLToPath(new URL('tapes/', import.meta.url))
const target = targetFrom([])

test('the sum of two numbers', async t => {
  const tape = await useTape('sum', { target, dir })
  // Fails the test where it asked for something that is not on the tape.
  t.after(() => tape.close())
  const client = new Client({ name: 'example', version: '1.0.0' })
  await client.connect(new StreamableHTTPClientTransport(new URL(tape.url)))
  try {
    const { content } = (await client.callTool({ name: 'get-sum', arguments: { a: 1, b: 2 } })) as {
      content: { text: string }[]
    }
    assert.match(content[0]?.text ?? '', /\b3\b/)
  } finally {
    await client.close()
  }
})
