import t from 'tap'
import { Breaker, type BreakerChange, type BreakerOptions, RANK } from '../../src/transport/upstream/breaker.ts'
import { Peers } from '../../src/transport/upstream/peers.ts'

/** A breaker with a clock that the test turns. */
function setUp(given: Partial<BreakerOptions> = {}) {
  const clock = { now: 1_000 }
  const changes: BreakerChange[] = []
  const breaker = new Breaker({
    failures: 3,
    ejection: 1_000,
    maxEjection: 8_000,
    now: () => clock.now,
    onChange: change => changes.push(change),
    ...given
  })
  const rank = () => breaker.rank(clock.now)
  /** A call that fails; false: it may not be made. */
  const fail = (code: Parameters<Breaker['failed']>[1] = 'upstream_reset'): boolean => {
    const call = {}
    if (!breaker.enter(call, true)) return false
    breaker.failed(call, code)
    breaker.left(call, true, false, false)
    return true
  }
  /** A call that stays; `head` answers it. */
  const begin = () => {
    const call = {}
    if (!breaker.enter(call, true)) return undefined
    const at = clock.now
    return {
      head: (status = 200) => breaker.head(call, true, at, status),
      end: () => breaker.left(call, true, true, true),
      giveUp: () => breaker.left(call, true, false, false)
    }
  }
  const succeed = (): void => {
    const call = begin()
    call?.head()
    call?.end()
  }
  return { breaker, clock, changes, rank, fail, begin, succeed }
}

const grouped = (given: Partial<BreakerOptions> = {}) => setUp({ peers: new Peers(), ...given })

t.test('failures in a row eject; one success in between does not let them add up', async t => {
  const { breaker, fail, succeed, changes } = setUp()
  fail()
  fail()
  succeed()
  fail()
  fail()
  t.equal(breaker.state, 'up')
  fail()
  t.equal(breaker.state, 'ejected')
  t.match(breaker.reason, /^3 failures in a row, the last: it broke the connection$/)
  t.equal(changes.length, 1)
  t.match(changes[0], { state: 'ejected', reason: String })
  t.ok(changes[0]!.ms! >= 900 && changes[0]!.ms! <= 1_100, 'a tenth more or less')
})

t.test('what clients bring about by what they ask counts for nothing', async t => {
  const { breaker, fail, begin } = setUp()
  for (const code of ['upstream_protocol', 'upstream_redirect', 'upstream_queue_full', 'cancelled'] as const)
    for (let i = 0; i < 4; i++) fail(code)
  for (const status of [400, 401, 404, 405, 429, 500, 501]) {
    const call = begin()
    call?.head(status)
    call?.end()
  }
  for (let i = 0; i < 4; i++) begin()?.giveUp()
  t.equal(breaker.state, 'up')
  t.equal(breaker.inFlight, 0)
})

t.test('502, 503 and 504 count', async t => {
  const { breaker, begin } = setUp()
  for (const status of [502, 503, 504]) {
    const call = begin()
    t.equal(call?.head(status), false)
    call?.giveUp()
  }
  t.equal(breaker.state, 'ejected')
  t.match(breaker.reason, /status 504/)
})

t.test('after the ejection one call is on trial, and others are refused until it is judged', async t => {
  const { breaker, clock, fail, begin, succeed, changes } = setUp()
  for (let i = 0; i < 3; i++) fail()
  t.equal(begin(), undefined, 'refused while ejected')
  clock.now += 1_100
  const trial = begin()
  t.ok(trial)
  t.equal(begin(), undefined, 'one alone')
  trial?.head()
  t.equal(breaker.state, 'up')
  t.ok(begin())
  trial?.end()
  succeed()
  t.match(changes, [{ state: 'ejected' }, { state: 'up', ms: 1_100 }])
})

t.test('a trial that its client gives up is not judged: the next call is on trial', async t => {
  const { clock, fail, begin } = setUp()
  for (let i = 0; i < 3; i++) fail()
  clock.now += 1_100
  begin()?.giveUp()
  t.ok(begin())
})

t.test('a trial without an answer is one that has failed', async t => {
  const { breaker, clock, fail, begin } = grouped()
  for (let i = 0; i < 3; i++) fail()
  clock.now += 1_100
  const trial = begin()
  t.ok(trial)
  clock.now += 1_200
  t.equal(begin(), undefined, 'ejected again, for longer')
  clock.now += 1_700
  t.equal(begin(), undefined)
  clock.now += 600
  t.ok(begin())
  trial?.head()
  t.equal(breaker.state, 'up', 'its late answer is as good as any')
})

t.test('in a group each ejection in a row lasts twice as long, up to the maximum; alone none does', async t => {
  for (const [set, most] of [[grouped(), 8_000] as const, [setUp(), 1_000] as const]) {
    const { breaker, clock, fail } = set
    for (let i = 0; i < 3; i++) fail()
    let expected = 1_000
    for (let round = 0; round < 6; round++) {
      const left = breaker.until! - Date.now()
      t.ok(Math.abs(left - expected) <= expected * 0.1 + 5, `${left} is about ${expected}`)
      clock.now += left + 2
      expected = Math.min(most, expected * 2)
      t.ok(fail(), 'the trial')
    }
  }
})

t.test('after a whole answer ejections are short again', async t => {
  const { breaker, clock, fail, succeed } = grouped()
  for (let i = 0; i < 3; i++) fail()
  for (let i = 0; i < 3; i++) {
    clock.now += 9_000
    fail()
  }
  clock.now += 9_000
  succeed()
  for (let i = 0; i < 3; i++) fail()
  t.ok(breaker.until! - Date.now() <= 1_105)
})

t.test('a head alone lets it back, but one more failure ejects it again', async t => {
  const { breaker, clock, fail, begin } = setUp()
  for (let i = 0; i < 3; i++) fail()
  clock.now += 1_100
  begin()?.head()
  t.equal(breaker.state, 'up')
  fail()
  t.equal(breaker.state, 'ejected')
})

t.test('alone, a server that refuses connections is asked each time: it may be back any moment', async t => {
  const { breaker, fail } = setUp()
  for (let i = 0; i < 20; i++) t.ok(fail('upstream_unreachable'))
  t.equal(breaker.state, 'up')
})

t.test('in a group it is ejected, but is the last resort', async t => {
  const { breaker, fail, rank, begin } = grouped()
  for (let i = 0; i < 3; i++) fail('upstream_unreachable')
  t.equal(breaker.state, 'ejected')
  t.equal(rank(), RANK.lastResort)
  begin()?.head()
  t.equal(breaker.state, 'up')
})

t.test('failures: 0 never ejects', async t => {
  const { breaker, fail } = setUp({ failures: 0 })
  for (let i = 0; i < 50; i++) fail()
  t.equal(breaker.state, 'up')
})

t.test('calls without any head: others go first, and one call a second tells', async t => {
  const { clock, begin, rank, breaker } = grouped()
  for (let i = 0; i < 3; i++) begin()
  t.equal(rank(), RANK.fit)
  begin()
  t.equal(rank(), RANK.busy, 'four are enough at once')
  clock.now += 300
  t.equal(rank(), RANK.quiet, 'a busy one would be better')
  clock.now += 701
  t.equal(rank(), RANK.trial)
  breaker.probed(clock.now)
  const probe = begin()
  t.equal(rank(), RANK.quiet)
  probe?.head()
  t.equal(rank(), RANK.fit, 'it was only busy')
})

t.test('two calls are enough where time has passed: the more, the slower answers are anyway', async t => {
  const fast = grouped()
  fast.begin()
  fast.begin()
  fast.clock.now += 251
  t.equal(fast.rank(), RANK.quiet)

  const slow = grouped()
  const first = slow.begin()
  slow.clock.now += 10_000
  first?.head()
  slow.begin()
  slow.begin()
  slow.clock.now += 20_000
  t.equal(slow.rank(), RANK.fit)
  slow.clock.now += 300
  t.equal(slow.rank(), RANK.quiet)
})

t.test('clients that give up what they asked do not leave a server quiet for ever', async t => {
  const { begin, rank } = grouped()
  const calls = [begin(), begin(), begin(), begin()]
  t.equal(rank(), RANK.busy)
  for (const call of calls) call?.giveUp()
  t.equal(rank(), RANK.fit)
})

t.test('a quiet server hangs, and is ejected, when others answer meanwhile; not when none does', async t => {
  const peers = new Peers()
  const { clock, begin, rank, breaker } = grouped({ peers })
  for (let i = 0; i < 4; i++) begin()
  clock.now += 5_000
  t.not(rank(), RANK.none, 'nobody answers: it may be the calls')
  peers.head(1, clock.now)
  clock.now += 1
  t.equal(rank(), RANK.none)
  t.match(breaker.reason, /^no answer to 4 calls for 5 s, while others answer$/)
})

t.test('a failed check takes it out, whatever its calls say, and a good one brings it back', async t => {
  const { breaker, begin, changes, rank } = grouped()
  breaker.checked('its check fails: no answer')
  t.equal(breaker.state, 'down')
  t.equal(rank(), RANK.none)
  t.equal(begin(), undefined)
  breaker.checked('its check fails: still none')
  breaker.checked(undefined)
  t.ok(begin())
  t.same(changes, [{ state: 'down', reason: 'its check fails: no answer' }, { state: 'up' }])
})

t.test('streams are let through beside a trial, and end nothing by being open', async t => {
  const { breaker, clock, fail } = setUp()
  const stream = {}
  t.ok(breaker.enter(stream, false))
  t.equal(breaker.inFlight, 0)
  for (let i = 0; i < 3; i++) fail()
  t.notOk(breaker.enter({}, false), 'refused while ejected')
  clock.now += 1_100
  t.ok(breaker.enter({}, false))
  t.ok(breaker.enter({}, true), 'it was no trial')
  breaker.head(stream, false, 0, 200)
  t.equal(breaker.state, 'up')
})

t.test('who is refused is told why, and when to come back', async t => {
  const { breaker, fail } = setUp()
  for (let i = 0; i < 3; i++) fail()
  const error = breaker.refusal('http://127.0.0.1:1/mcp')
  t.equal(error.code, 'target_unavailable')
  t.equal(error.status, 503)
  t.match(error.message, /http:\/\/127.0.0.1:1\/mcp is not asked now: 3 failures in a row.*Try again in [12] s/)
  t.match(error.data, { target: 'http://127.0.0.1:1/mcp' })
})
