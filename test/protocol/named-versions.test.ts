/** Revisions that a server names are shown to others, so that a list of them is only so long. */
import t from 'tap'
import { Message } from '../../src/protocol/message.ts'
import { versionsIn } from '../../src/protocol/named-versions.ts'

const answer = (rest: object) => Message.from({ jsonrpc: '2.0', id: 1, ...rest })
const refused = (data?: unknown) => answer({ error: { code: -32022, message: 'no', data } })

t.test('what an answer or an error names', async t => {
  t.same(versionsIn(answer({ result: { supportedVersions: ['2026-07-28', '2027-01-01'] } })), [
    '2026-07-28',
    '2027-01-01'
  ])
  t.same(versionsIn(refused({ supported: ['2026-07-28'] })), ['2026-07-28'])
  for (const none of [undefined, answer({ result: null }), answer({ result: {} }), refused(), refused(null)])
    t.equal(versionsIn(none), undefined)
  t.equal(versionsIn(refused({ supported: [1, null, {}] })), undefined)
})

t.test('not more than a few, and none that is long', async t => {
  const many = Array.from({ length: 10_000 }, (_, i) => `v${i}`)
  t.equal(versionsIn(refused({ supported: many }))?.length, 32)
  t.same(versionsIn(refused({ supported: ['x'.repeat(65), 'short'] })), ['short'])
})
