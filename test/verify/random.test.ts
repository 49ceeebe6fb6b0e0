import { randomBytes, randomUUID } from 'node:crypto'
import t from 'tap'
import { differInRandom, isRandom } from '../../src/verify/random.ts'

t.test('only what looks made up may differ; the words around it may not', async t => {
  for (const [before, after] of [
    ['item_8f9cd9551c', 'item_02d1ab7790'],
    ['prod-us-east-1-9f8e7d6c5b', 'prod-us-east-1-1a2b3c4d5e'],
    [`file:///runs/${randomUUID()}/out`, `file:///runs/${randomUUID()}/out`],
    ['cur_aZ4-dQ9xB7_kLm3Pq8RtY', 'cur_Xb2cV8nM1_a-sD5fG7hJ0'],
    ['eyJhIjoxfQ==.c2lnbmF0dXJlMQ', 'eyJhIjoxfQ==.c2lnbmF0dXJlMg']
  ])
    t.ok(differInRandom(before!, after!), `${before} ${after}`)
  for (const [before, after] of [
    ['prod-us-east-1-9f8e7d6c5b', 'dev-eu-west-2-1a2b3c4d5e'],
    ['prod-9f8e7d6c5b', 'dev-1a2b3c4d5e'],
    ['490123456789', '491760000000'],
    ['order 1234567890', 'order 1234567891'],
    ['release-2024', 'release-2025'],
    ['gone-9f8e7d6c5b', '9f8e7d6c5b']
  ])
    t.notOk(differInRandom(before!, after!), `${before} ${after}`)
})

t.test('plain numbers never look made up', async t => {
  for (const text of ['1234567890', '4917600000000', '1767225600000']) t.notOk(isRandom(text), text)
})

t.test('most tokens of 32 bytes count as such', async t => {
  const token = (): string => randomBytes(32).toString('base64url')
  const found = Array.from({ length: 500 }, () => differInRandom(token(), token())).filter(is => is)
  t.ok(found.length > 430, `${found.length}`)
})
