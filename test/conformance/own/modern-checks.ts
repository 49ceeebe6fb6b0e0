/** The era without a handshake: going away is cancelling, logs are asked for, subscriptions have the id of their request. */
import { strict as assert } from 'node:assert'
import { type Id, rpc } from '../../helpers/rpc.ts'
import type { Inbox } from '../../helpers/wait.ts'
import type { OwnCheck } from '../own-checks.ts'
import { hold, progress } from './shared-checks.ts'
import { type Message, textOf, WAIT_MS, type Wire } from './wire.ts'

const MODERN = ['2026-07-28'] as const
const LOG_LEVEL = 'io.modelcontextprotocol/logLevel'
const SUBSCRIPTION = 'io.modelcontextprotocol/subscriptionId'

export const MODERN_CHECKS: readonly OwnCheck[] = [
  {
    id: 'going-away-reaches-the-server',
    revisions: MODERN,
    async run({ wire }) {
      const held = await hold(wire, 'held', 'key')
      await progress(held)
      held.leave()
      assert.equal(await textOf(wire.tool(2, 'probe_until', { name: 'cancelled key' })), '1')
    }
  },
  {
    id: 'logs-go-to-who-asked-for-them',
    revisions: MODERN,
    async run({ wire }) {
      const [asked, silent] = await Promise.all([
        wire.tool(1, 'probe_log', {}, { meta: { [LOG_LEVEL]: 'info' } }),
        wire.tool(1, 'probe_log')
      ])
      await Promise.all([asked.response(), silent.response()])
      const methods = (messages: readonly Message[]) => messages.map(message => message.method ?? 'response')
      assert.deepEqual(methods(asked.messages.items), ['notifications/message', 'response'])
      assert.deepEqual(methods(silent.messages.items), ['response'])
    }
  },
  {
    id: 'subscriptions-with-equal-ids',
    revisions: MODERN,
    async run({ wire }) {
      for (const id of [7, 'seven']) {
        const tools = await subscribe(wire, id, { toolsListChanged: true })
        const prompts = await subscribe(wire, id, { promptsListChanged: true })
        await textOf(wire.tool(1, 'test_trigger_tool_change'))
        await textOf(wire.tool(1, 'test_trigger_prompt_change'))
        await seen(tools.messages, 'notifications/tools/list_changed', id)
        await seen(prompts.messages, 'notifications/prompts/list_changed', id)
        assert.ok(!tools.messages.items.some(({ method }) => method === 'notifications/prompts/list_changed'))
        assert.ok(!prompts.messages.items.some(({ method }) => method === 'notifications/tools/list_changed'))
        tools.leave()
        prompts.leave()
      }
    }
  }
]

async function subscribe(wire: Wire, id: Id, notifications: Record<string, boolean>) {
  const stream = await wire.post(rpc(id, 'subscriptions/listen', { notifications }))
  assert.equal(stream.status, 200)
  await seen(stream.messages, 'notifications/subscriptions/acknowledged', id)
  return stream
}

async function seen(messages: Inbox<Message>, method: string, id: Id) {
  const message = await messages.until(m => m.method === method, { timeoutMs: WAIT_MS })
  const { _meta } = message.params as { _meta?: Message }
  assert.deepEqual(_meta?.[SUBSCRIPTION], id, `the subscription of ${method}`)
}
