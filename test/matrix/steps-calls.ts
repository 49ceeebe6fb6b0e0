/** Calls: their results, their errors, what comes before their results, and their end before its time. */
import assert from 'node:assert/strict'
import { isJSONRPCResultResponse } from '@modelcontextprotocol/client'
import { call, happened, heard, later, refusal, rpcCodeOf, say, textOf } from './say.ts'
import type { Step } from './script.ts'

const STRANGE = 'Zürich 東京 \u{1F63A} \u2028 \u0000 \\u0041 "quoted"\r\n\tend'
const MEGABYTE = 1024 * 1024
const LOG_LEVEL = 'io.modelcontextprotocol/logLevel'

export const CALL_STEPS: readonly Step[] = [
  {
    name: 'a call carries any text and any JSON, there and back',
    async run({ c }) {
      const args = { [STRANGE]: STRANGE, nested: [1.5e300, -0.25, { deep: [null, true, ''] }] }
      assert.deepEqual(JSON.parse(await say(c, 'echo', args)), args)
      assert.equal(await say(c, 'region', { region: 'Zürich' }), 'Zürich')
    }
  },
  {
    name: 'a result is structured',
    needs: 'structured',
    async run({ c }) {
      assert.deepEqual((await call(c, 'echo', { a: [1, { b: null }] })).structuredContent, { a: [1, { b: null }] })
    }
  },
  {
    name: 'a megabyte passes in both directions',
    async run({ c }) {
      assert.equal((await say(c, 'big', { bytes: MEGABYTE })).length, MEGABYTE)
      const text = 'ü'.repeat(MEGABYTE / 2)
      assert.equal(JSON.parse(await say(c, 'echo', { text })).text, text)
    }
  },
  {
    name: 'errors arrive as the server made them',
    async run({ c }) {
      const failed = await call(c, 'fail')
      assert.deepEqual([failed.isError, textOf(failed)], [true, 'failed as asked'])
      const invalid = await call(c, 'add', { a: 'one' })
      assert.equal(invalid.isError, true)
      const thrown = await refusal(call(c, 'throw', { code: -31_234, message: 'no', data: { why: 'so' } }))
      assert.deepEqual([thrown.code, thrown.data], [-31_234, { why: 'so' }])
      assert.match(thrown.message, /no$/)
      assert.equal((await refusal(c.client.getPrompt({ name: 'broken' }))).code, -31_999)
      assert.equal((await refusal(call(c, 'no such tool'))).code, -32_602)
      assert.equal((await refusal(c.client.getPrompt({ name: 'no such prompt' }))).code, -32_602)
    }
  },
  {
    name: 'a method that the server does not know is refused',
    async run({ c }) {
      const params = { any: 'thing' }
      const asked = c.client.request({ method: 'no/such/method', params }, ANYTHING)
      assert.equal(rpcCodeOf(await refusal(asked)), -32_601)
    }
  },
  {
    name: 'progress arrives in order, and before the result',
    async run({ c }) {
      const before = heard(c, 'notifications/progress').length
      await c.client.callTool({ name: 'progress', arguments: { n: 5 } }, { onprogress() {} })
      const steps = heard(c, 'notifications/progress').slice(before)
      assert.deepEqual(
        steps.map(n => [n.params?.progress, n.params?.total]),
        [1, 2, 3, 4, 5].map(i => [i, 5])
      )
      const last = c.messages.items.indexOf(steps.at(-1)!)
      const result = c.messages.items.findIndex(
        m => isJSONRPCResultResponse(m) && JSON.stringify(m).includes('progressed 5')
      )
      assert.ok(last < result, 'all of it came before the result')
    }
  },
  {
    name: 'logs come from the level that was set',
    needs: 'setLevel',
    async run({ c }) {
      await c.client.setLoggingLevel('warning')
      await say(c, 'log', { level: 'info' })
      await say(c, 'log', { level: 'error', n: 2 })
      await c.until(n => n.params?.data === 'line 2')
      assert.deepEqual(
        heard(c, 'notifications/message').map(n => [n.params?.level, n.params?.data]),
        [
          ['error', 'line 1'],
          ['error', 'line 2']
        ]
      )
    }
  },
  {
    name: 'logs come to the request that asked for them, from the level that it named',
    needs: 'logLevel',
    async run({ c }) {
      await say(c, 'log', { level: 'error' })
      const asking = (level: string) =>
        c.client.callTool({ name: 'log', arguments: { level, n: 2 }, _meta: { [LOG_LEVEL]: 'warning' } })
      await asking('info')
      await asking('error')
      assert.deepEqual(
        heard(c, 'notifications/message').map(n => [n.params?.level, n.params?.data]),
        [
          ['error', 'line 1'],
          ['error', 'line 2']
        ]
      )
    }
  },
  {
    name: 'calls at the same time are answered when they are ready, not in the order they were made',
    async run({ c }) {
      const order: string[] = []
      const hold = async (key: string) => {
        assert.equal(await say(c, 'slow', { key }), 'released')
        order.push(key)
      }
      const held = ['first', 'second', 'third'].map(key => later(hold(key)))
      await happened(c, 'slow.started', 3)
      for (const [i, key] of [
        [2, 'third'],
        [0, 'first'],
        [1, 'second']
      ] as const) {
        assert.equal(await say(c, 'release', { key }), '1')
        await held[i]
      }
      assert.deepEqual(order, ['third', 'first', 'second'])
    }
  },
  {
    name: 'many calls at once each get their own answer',
    async run({ c }) {
      const numbers = Array.from({ length: 32 }, (_, i) => i)
      const sums = await Promise.all(numbers.map(i => say(c, 'add', { a: i, b: 1000 })))
      assert.deepEqual(
        sums,
        numbers.map(i => String(i + 1000))
      )
    }
  },
  {
    name: 'a cancellation reaches the server, and everything else goes on',
    async run({ c }) {
      const gone = new AbortController()
      const slow = later(c.client.callTool({ name: 'slow', arguments: { key: 'other' } }, { signal: gone.signal }))
      const kept = later(say(c, 'slow', { key: 'kept' }))
      await happened(c, 'slow.started', 5)
      gone.abort('enough')
      await refusal(slow)
      await happened(c, 'slow.cancelled')
      assert.equal(await say(c, 'release', { key: 'kept' }), '1')
      assert.equal(await kept, 'released')
    }
  }
]

/** A schema that takes what comes. */
const ANYTHING = {
  '~standard': { version: 1, vendor: 'catflap-test', validate: (value: unknown) => ({ value }) }
} as const
