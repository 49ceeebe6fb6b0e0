/** What holds in both eras: ids, progress, order, and that calls have nothing to do with each other. */
import { strict as assert } from 'node:assert'
import type { Id } from '../../helpers/rpc.ts'
import type { OwnCheck } from '../own-checks.ts'
import { type Answer, type Message, textOf, WAIT_MS, type Wire } from './wire.ts'

const MANY = 200
const CROWD = 30
/** Bytes of each of many notifications: together more than sockets hold on their own. */
const PAD = 60_000

export const SHARED_CHECKS: readonly OwnCheck[] = [
  {
    id: 'ids-keep-their-type',
    async run({ wire }) {
      for (const id of [7, '7', 0, -5, Number.MAX_SAFE_INTEGER, 'ä ✓ "quoted"'] as Id[]) {
        const answer = await wire.tool(id, 'probe_echo', { key: 'k' })
        assert.equal(await textOf(answer), 'k')
        assert.deepEqual((await answer.response()).id, id)
      }
    }
  },
  {
    id: 'progress-tokens-keep-their-type',
    async run({ wire }) {
      for (const progressToken of [42, '42']) {
        const answer = await wire.tool(1, 'probe_many', { n: 1 }, { meta: { progressToken } })
        await answer.response()
        assert.deepEqual(
          progressIn(answer).map(params => params.progressToken),
          [progressToken]
        )
      }
    }
  },
  {
    id: 'events-arrive-as-they-are-made',
    async run({ wire }) {
      const held = wire.tool(1, 'probe_hold', { key: 'made' }, { meta: { progressToken: 'made' } })
      try {
        await progress(await held)
      } finally {
        await wire.tool(2, 'probe_release', { key: 'made' }).then(textOf)
      }
      assert.equal(await textOf(held), 'made released')
    }
  },
  {
    id: 'notifications-keep-their-order',
    async run({ wire }) {
      const answer = await wire.tool('many', 'probe_many', { n: MANY }, { meta: { progressToken: 1 } })
      await inOrder(answer, MANY)
    }
  },
  {
    id: 'a-slow-reader-gets-everything',
    async run({ wire, connect }) {
      const other = await connect()
      try {
        const args = { n: MANY, pad: PAD }
        const slow = await wire.tool(1, 'probe_many', args, { meta: { progressToken: 1 }, unread: true })
        assert.equal(await textOf(other.tool(1, 'probe_echo', { key: 'meanwhile' })), 'meanwhile')
        slow.read()
        await inOrder(slow, MANY)
      } finally {
        await other.close()
      }
    }
  },
  {
    id: 'equal-ids-at-the-same-time',
    async run({ wire, connect }) {
      const other = await connect()
      try {
        const [first, second] = [hold(wire, 1, 'first'), hold(other, 1, 'second')]
        await Promise.all([first, second].map(async answer => progress(await answer)))
        await other.tool(2, 'probe_release', { key: 'second' }).then(textOf)
        assert.equal(await textOf(second), 'second released')
        await wire.tool(2, 'probe_release', { key: 'first' }).then(textOf)
        assert.equal(await textOf(first), 'first released')
      } finally {
        await other.close()
      }
    }
  },
  {
    id: 'many-calls-at-once',
    async run({ wire, revision }) {
      // Within a session ids have to differ; without one nothing relates one call to another.
      const idOf = (key: string) => (revision === '2026-07-28' ? 1 : key)
      const keys = Array.from({ length: CROWD }, (_, i) => `key ${i}`)
      const answers = keys.map(key => textOf(wire.tool(idOf(key), 'probe_echo', { key })))
      assert.deepEqual(await Promise.all(answers), keys)
    }
  },
  {
    id: 'a-call-is-made-once',
    async run({ wire }) {
      for (const times of ['1', '2', '3']) {
        assert.equal(await textOf(wire.tool(1, 'probe_count', { key: 'once' })), times)
      }
    }
  },
  {
    id: 'a-client-that-has-gone-harms-nobody',
    async run({ wire, connect }) {
      const other = await connect()
      try {
        const gone = await hold(other, 1, 'gone')
        await progress(gone)
        gone.leave()
        assert.equal(await textOf(wire.tool(1, 'probe_echo', { key: 'here' })), 'here')
        assert.equal(await textOf(other.tool(2, 'probe_echo', { key: 'here too' })), 'here too')
      } finally {
        await other.close()
      }
    }
  },
  {
    id: 'a-foreign-origin-is-refused',
    async run({ wire }) {
      const refused = await wire.tool(1, 'probe_echo', { key: 'k' }, { headers: { origin: 'http://evil.example' } })
      assert.equal(refused.status, 403)
      const welcome = await wire.tool(1, 'probe_echo', { key: 'k' }, { headers: { origin: 'http://localhost:1234' } })
      assert.equal(welcome.status, 200)
    }
  }
]

/** Starts a call that lasts, with progress as the sign that it has begun. */
export function hold(wire: Wire, id: Id, key: string): Promise<Answer> {
  return wire.tool(id, 'probe_hold', { key }, { meta: { progressToken: key } })
}

/** All of them, each once, and the response after them. */
async function inOrder(answer: Answer, n: number): Promise<void> {
  assert.equal(await textOf(answer), `${n} sent`)
  assert.deepEqual(
    progressIn(answer).map(params => params.progress),
    Array.from({ length: n }, (_, i) => i + 1)
  )
  assert.ok(!('method' in answer.messages.items.at(-1)!), 'the response comes last')
}

export async function progress(answer: Answer): Promise<void> {
  await answer.messages.until(isProgress, { timeoutMs: WAIT_MS })
}

function progressIn(answer: Answer): Message[] {
  return answer.messages.items.filter(isProgress).map(message => message.params as Message)
}

function isProgress(message: Message): boolean {
  return message.method === 'notifications/progress'
}
