import fc from 'fast-check'
import t from 'tap'
import { AnswerShare } from '../../src/transport/upstream/answer-share.ts'

t.test('an answer that began well long ago, and breaks now, is one answer', async t => {
  for (const age of [0, 15_000, 29_999, 40_000]) {
    const share = new AnswerShare()
    for (let i = 0; i < 12; i++) share.good(15_000)
    for (let i = 0; i < 12; i++) share.bad(15_000 + age, true)
    t.same([share.failures, share.all], [12, 12], `${age} ms`)
    t.ok(share.isBad(1))
  }
})

t.test('good ones that go on counting keep their place', async t => {
  const share = new AnswerShare()
  for (let i = 0; i < 20; i++) share.good(15_000)
  share.bad(30_000, true)
  t.same([share.failures, share.all], [1, 20])
  share.bad(30_000, false)
  t.same([share.failures, share.all], [2, 21])
  share.clear()
  t.same([share.failures, share.all], [0, 0])
})

t.test('there are never more failures than answers, nor more answers than there were', async () => {
  const step = fc.record({ wait: fc.nat(20_000), what: fc.constantFrom('good', 'bad', 'begun') })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), steps => {
      const share = new AnswerShare()
      let now = 0
      let begun = 0
      let made = 0
      for (const { wait, what } of steps) {
        now += wait
        if (what === 'begun' && begun > 0) {
          begun--
          share.bad(now, true)
        } else {
          made++
          if (what === 'good') begun++
          if (what === 'good') share.good(now)
          else share.bad(now, false)
        }
        if (share.failures > share.all || share.all > made || share.failures < 0) return false
      }
      return true
    })
  )
})
