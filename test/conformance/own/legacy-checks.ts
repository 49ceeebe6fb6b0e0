/** The eras with a handshake: sessions, batches, the stream for GET, and cancellation by notification. */
import { strict as assert } from 'node:assert'
import { rawRequest } from '../../helpers/raw-client.ts'
import { legacyHeaders, notification, rpc, toolCall } from '../../helpers/rpc.ts'
import type { OwnCheck } from '../own-checks.ts'
import { hold, progress } from './shared-checks.ts'
import { textOf, WAIT_MS } from './wire.ts'

const LEGACY = ['2025-03-26', '2025-06-18', '2025-11-25'] as const

export const LEGACY_CHECKS: readonly OwnCheck[] = [
  {
    id: 'cancellation-reaches-the-server',
    revisions: LEGACY,
    async run({ wire }) {
      await progress(await hold(wire, 'held', 'key'))
      const accepted = await wire.post(notification('notifications/cancelled', { requestId: 'held', reason: 'enough' }))
      assert.equal(accepted.status, 202)
      assert.equal(await textOf(wire.tool(2, 'probe_until', { name: 'cancelled key' })), '1')
    }
  },
  {
    id: 'the-server-speaks-by-itself',
    revisions: LEGACY,
    async run({ wire }) {
      const stream = await wire.listen()
      assert.equal(stream.status, 200)
      await textOf(wire.tool(1, 'probe_announce_later'))
      const isChange = (message: object) => 'method' in message && message.method === 'notifications/tools/list_changed'
      await stream.messages.until(isChange, { timeoutMs: WAIT_MS })
    }
  },
  {
    id: 'an-unknown-session-is-404',
    revisions: LEGACY,
    async run({ wire, revision }) {
      const headers = legacyHeaders('not-a-session', revision)
      const body = toolCall(1, 'probe_echo', { key: 'k' })
      assert.equal((await rawRequest(wire.url, { headers, body })).status, 404, 'POST')
      const stream = { ...headers, accept: 'text/event-stream' }
      assert.equal((await rawRequest(wire.url, { method: 'GET', headers: stream })).status, 404, 'GET')
      assert.equal((await rawRequest(wire.url, { method: 'DELETE', headers })).status, 404, 'DELETE')
    }
  },
  {
    id: 'a-notification-is-accepted-without-a-body',
    revisions: LEGACY,
    async run({ wire }) {
      const accepted = await wire.post(notification('notifications/roots/list_changed'))
      assert.equal(accepted.status, 202)
      assert.equal(accepted.messages.items.length, 0)
    }
  },
  {
    id: 'an-error-has-the-id-of-its-request',
    revisions: LEGACY,
    async run({ wire }) {
      const response = await (await wire.post(rpc('wrong', 'no/such/method'))).response()
      assert.equal(response.id, 'wrong')
      assert.equal((response.error as { code: number }).code, -32_601)
    }
  },
  {
    id: 'a-batch-is-answered-whole',
    revisions: ['2025-03-26'],
    async run({ wire }) {
      const answer = await wire.post([
        toolCall('one', 'probe_echo', { key: '1' }),
        notification('notifications/roots/list_changed'),
        toolCall(2, 'probe_echo', { key: '2' })
      ])
      assert.equal(answer.status, 200)
      for (const id of ['one', 2]) await answer.messages.until(message => message.id === id, { timeoutMs: WAIT_MS })
    }
  }
]
