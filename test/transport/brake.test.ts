/** Why a source stands still, and when it goes on. */
import t from 'tap'
import { Brake } from '../../src/transport/brake.ts'

function brake() {
  const told: string[] = []
  const made = new Brake(
    () => told.push('pause'),
    () => told.push('resume')
  )
  return { told, brake: made }
}

t.test('a source flows only when no reason is left', async t => {
  const { told, brake: b } = brake()
  b.hold('reader')
  b.hold('hook')
  b.release('hook')
  t.notOk(told.includes('resume'))
  b.release('reader')
  b.release('reader')
  t.same(told, ['pause', 'pause', 'resume'])
})

t.test('a reason that ends by itself ends also where its wait fails; one wait at a time', async t => {
  const { told, brake: b } = brake()
  const [first, second] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  b.holdUntil('tape', first.promise)
  b.holdUntil('tape', second.promise)
  first.reject(new Error('gone'))
  await first.promise.catch(() => {})
  t.same(told, ['pause', 'resume'])
  second.resolve()
  await second.promise
  t.same(told, ['pause', 'resume'])
})
