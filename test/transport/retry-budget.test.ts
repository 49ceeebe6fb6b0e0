import t from 'tap'
import { RetryBudget } from '../../src/transport/upstream/retry-budget.ts'

const takeAll = (budget: RetryBudget): number => {
  let taken = 0
  while (taken < 1_000 && budget.take()) taken++
  return taken
}

t.test('some are there at first, and then there are none', async t => {
  const budget = new RetryBudget()
  t.equal(takeAll(budget), 10)
  t.notOk(budget.take())
})

t.test('five calls earn one', async t => {
  const budget = new RetryBudget()
  takeAll(budget)
  for (let i = 0; i < 50; i++) budget.call()
  const taken = takeAll(budget)
  t.ok(taken === 10 || taken === 9, `${taken}`)
})

t.test('no more than a hundred are ever saved up', async t => {
  const budget = new RetryBudget()
  for (let i = 0; i < 100_000; i++) budget.call()
  const taken = takeAll(budget)
  t.ok(taken >= 100 && taken <= 101, `${taken}`)
})
