import t from 'tap'
import { type Attached, Call } from '../../src/proxy/call.ts'
import { Deadlines } from '../../src/proxy/deadlines.ts'
import type { Leg } from '../../src/transport/upstream.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { Inbox } from '../helpers/wait.ts'

/** A server that takes every call and says nothing. */
const SILENT = { call: () => ({ cancel() {}, pause() {}, resume() {} }) } as unknown as Leg

// Timers count whole milliseconds and may fire a little before their time; one that did must not have been the last.
t.test('calls that wait for the client end by their age, each of them, whenever they began', async t => {
  trackLeaks(t)
  const deadlines = new Deadlines(10)
  t.teardown(() => deadlines.close())
  const ended = new Inbox<string>('ended calls')
  const attached = { onError: (error: { code: string }) => ended.push(error.code) } as unknown as Attached
  const options = { label: 'silent', deadlines, cancelGrace: 5, maxRequestTime: 25, excused: () => true }
  const start = (): void => new Call(SILENT, { kind: 'request' } as never, attached, options).start()
  const calls = 200
  // They begin, and their timers are looked at, at all fractions of a millisecond.
  let begun = 0
  let busy: NodeJS.Immediate
  const spin = (): void => {
    if (begun++ < calls) start()
    for (const until = performance.now() + (begun % 9) / 10; performance.now() < until; );
    busy = setImmediate(spin)
  }
  spin()
  t.teardown(() => clearImmediate(busy))
  for (let i = 0; i < calls; i++) t.equal(await ended.next(), 'upstream_timeout')
  t.equal(deadlines.size, 0)
})
