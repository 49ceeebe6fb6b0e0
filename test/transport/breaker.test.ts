import fc from 'fast-check'
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
  const fail = (code: Parameters<Breaker['failed']>[2] = 'upstream_connect_timeout'): boolean => {
    const call = {}
    if (!breaker.enter(call, true)) return false
    breaker.failed(call, true, code)
    breaker.left(call, true, false, false)
    return true
  }
  /** A call that stays; `head` answers it. */
  const begin = () => {
    const call = {}
    if (!breaker.enter(call, true)) return undefined
    const at = clock.now
    return {
      head: (status = 200, wait = 0) => breaker.head(call, true, at, status, wait),
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
  t.match(breaker.reason, /^3 failures in a row, the last: no connection in time$/)
  t.equal(changes.length, 1)
  t.match(changes[0], { state: 'ejected', reason: String })
  t.ok(changes[0]!.ms! >= 900 && changes[0]!.ms! <= 1_100, 'a tenth more or less')
})

t.test('what is no call shows that a server can be reached, and no more', async t => {
  const { breaker, fail, rank } = grouped()
  fail()
  fail()
  breaker.reached()
  fail()
  t.equal(breaker.state, 'up', 'what failed before it does not count')
  fail()
  fail()
  t.equal(breaker.state, 'ejected')
  breaker.reached()
  t.equal(breaker.state, 'up')
  fail()
  t.equal(breaker.state, 'ejected', 'as no whole answer came in between')
  const other = grouped()
  for (let n = 0; n < 10; n++) other.fail('upstream_reset')
  t.equal(other.breaker.state, 'ejected')
  other.breaker.reached()
  t.equal(other.breaker.state, 'ejected', 'it was never out of reach')
  t.equal(rank(), RANK.lastResort)
})

t.test('what clients bring about by what they ask counts for nothing', async t => {
  const { breaker, fail, begin } = grouped()
  for (const code of ['upstream_protocol', 'upstream_redirect', 'upstream_queue_full', 'cancelled'] as const)
    for (let i = 0; i < 4; i++) fail(code)
  for (const status of [400, 401, 404, 405, 429, 500, 501, 503]) {
    const call = begin()
    call?.head(status)
    call?.end()
  }
  for (let i = 0; i < 4; i++) begin()?.giveUp()
  t.equal(breaker.state, 'up')
  t.equal(breaker.inFlight, 0)
})

t.test('alone, no status, no timeout and no broken connection ejects: nobody could answer instead', async t => {
  const { breaker, begin, fail, changes } = setUp()
  for (let i = 0; i < 30; i++) {
    const call = begin()
    call?.head([502, 503, 504][i % 3])
    call?.giveUp()
    t.ok(fail('upstream_timeout'))
    t.ok(fail('upstream_reset'))
  }
  t.equal(breaker.state, 'up')
  t.same(changes, [])
})

t.test('502 and 504 count by their part of all answers, not in a row', async t => {
  const { breaker, clock, begin, succeed } = grouped()
  const bad = (status: number): void => {
    const call = begin()
    t.equal(call?.head(status), false)
    call?.giveUp()
  }
  for (let i = 0; i < 10; i++) succeed()
  for (let i = 0; i < 10; i++) bad(502)
  t.equal(breaker.state, 'up', 'half of them')
  clock.now += 31_000
  for (let i = 0; i < 9; i++) bad(504)
  t.equal(breaker.state, 'up', 'what was long ago does not count, and nine are too few')
  bad(504)
  t.equal(breaker.state, 'ejected')
  t.match(breaker.reason, /^10 of its latest 10 answers failed, the last: status 504$/)
})

t.test('connections that break count like these, before a head and in the middle of an answer', async t => {
  for (const answered of [false, true]) {
    const { breaker, clock } = grouped()
    for (let i = 0; i < 10; i++) {
      t.equal(breaker.state, 'up')
      const call = {}
      breaker.enter(call, true)
      if (answered) breaker.head(call, true, clock.now, 200)
      breaker.failed(call, true, 'upstream_reset', answered, clock.now)
      breaker.left(call, true, answered, false)
    }
    t.match(breaker.reason, /^10 of its latest 10 answers failed, the last: it broke the connection$/)
  }
})

/** An answer of another server's shows that it is well. */
const wellPeers = (clock: { readonly now: number }, peers: Peers): void => peers.well({}, clock.now)

t.test('busy (503) is no failure where no other is well: others go first for a moment', async t => {
  const { breaker, clock, begin, rank } = grouped()
  for (let i = 0; i < 30; i++) {
    const call = begin()
    t.equal(call?.head(503), false)
    call?.giveUp()
  }
  t.equal(breaker.state, 'up')
  t.equal(rank(), RANK.busy)
  clock.now += 1_001
  t.equal(rank(), RANK.fit)
})

t.test('503 counts by its part of all answers while another server is well, and never ejects the last one', async t => {
  const peers = new Peers()
  const { breaker, clock, begin, succeed, rank } = grouped({ peers })
  const busy = (): void => {
    const call = begin()
    call?.head(503)
    call?.giveUp()
  }
  for (let i = 0; i < 10; i++) succeed()
  for (let i = 0; i < 30; i++) busy()
  t.equal(breaker.state, 'up', 'its own good answers are nobody else')
  wellPeers(clock, peers)
  clock.now += 10_000
  busy()
  t.equal(breaker.state, 'up', 'the other was well long ago')
  wellPeers(clock, peers)
  busy()
  t.equal(breaker.state, 'ejected')
  t.match(breaker.reason, /^32 of its latest 42 answers failed, the last: status 503$/)
  t.equal(rank(), RANK.lastResort)
})

t.test('a few 503 among many good answers never eject', async t => {
  const peers = new Peers()
  const { breaker, clock, begin, succeed } = grouped({ peers })
  for (let i = 0; i < 60; i++) {
    wellPeers(clock, peers)
    succeed()
    begin()?.head(503)
    succeed()
    clock.now += 500
  }
  t.equal(breaker.state, 'up')
})

t.test('503 ends no ejection: on trial it is ejected again', async t => {
  const { breaker, clock, fail, begin, rank, succeed } = grouped({ failures: 1 })
  fail('upstream_unreachable')
  begin()?.head(503)
  t.equal(breaker.state, 'ejected', 'a call beside a trial')
  clock.now += 1_101
  t.equal(rank(), RANK.trial)
  const trial = begin()
  trial?.head(503)
  trial?.giveUp()
  t.match(breaker.reason, /^its trial failed: status 503$/)
  clock.now += 1_101
  t.equal(rank(), RANK.lastResort, 'and for longer')
  succeed()
  t.equal(breaker.state, 'up')
})

t.test('alone, 503 says that the server is there', async t => {
  const { breaker, fail, begin } = setUp({ failures: 1 })
  fail('upstream_unreachable')
  t.equal(breaker.state, 'ejected')
  t.equal(begin()?.head(503), true)
  t.equal(breaker.state, 'up')
})

t.test(
  'each 503 in a row keeps others first for longer, up to maxEjection; a good answer makes it short again',
  async t => {
    const { clock, begin, succeed, rank, breaker } = grouped()
    const busyFor = (ms: number, wait = 0): void => {
      begin()?.head(503, wait)
      begin()?.head(503, wait)
      clock.now += ms - 1
      t.ok(breaker.isBusy(clock.now), `${ms}`)
      t.equal(rank(), RANK.busy)
      clock.now += 1
      t.notOk(breaker.isBusy(clock.now))
    }
    for (const ms of [1_000, 2_000, 4_000, 8_000, 8_000]) busyFor(ms)
    succeed()
    busyFor(1_000)
    succeed()
    busyFor(3_000, 3_000)
    busyFor(8_000, 3_600_000)
  }
)

t.test('a server that is ejected for 503 is left alone for as long as it asks for, up to maxEjection', async t => {
  for (const [wait, most] of [[5_000, 5_500] as const, [3_600_000, 8_800] as const]) {
    const peers = new Peers()
    const { breaker, clock, begin, rank } = grouped({ peers })
    wellPeers(clock, peers)
    for (let i = 0; i < 10; i++) begin()?.head(503, wait)
    t.equal(breaker.state, 'ejected')
    clock.now += most * 0.8
    t.equal(rank(), RANK.lastResort)
    clock.now += most * 0.2 + 1
    t.equal(rank(), RANK.trial)
  }
})

t.test('what is no HTTP counts by its part, like a broken connection', async t => {
  const { breaker, clock, fail, succeed, rank } = grouped()
  for (let i = 0; i < 10; i++) succeed()
  for (let i = 0; i < 10; i++) fail('upstream_protocol')
  t.equal(breaker.state, 'up', 'half of them')
  fail('upstream_protocol')
  t.match(breaker.reason, /^11 of its latest 21 answers failed, the last: what it says is no HTTP$/)
  clock.now += 1_101
  t.equal(rank(), RANK.trial)
  fail('upstream_protocol')
  t.match(breaker.reason, /^its trial failed: what it says is no HTTP$/)
  t.equal(rank(), RANK.lastResort)
})

t.test('a trial that fails, however it does, is not followed by the next one at once', async t => {
  const codes = [
    'upstream_protocol',
    'upstream_redirect',
    'upstream_queue_full',
    'upstream_reset',
    'upstream_timeout'
  ] as const
  for (const code of [...codes, 'upstream_unreachable', 'upstream_connect_timeout'] as const) {
    const { clock, fail, rank } = grouped()
    for (let i = 0; i < 3; i++) fail()
    clock.now += 1_101
    t.equal(rank(), RANK.trial)
    fail(code)
    t.equal(rank(), RANK.lastResort, code)
  }
})

t.test('streams are given to others while a trial is due, and while it is quiet', async t => {
  const { breaker, clock, fail, begin } = grouped()
  for (let i = 0; i < 3; i++) fail()
  clock.now += 1_101
  t.equal(breaker.rank(clock.now, false), RANK.lastResort)
  t.equal(breaker.rank(clock.now), RANK.trial)
  const quiet = grouped()
  for (let i = 0; i < 4; i++) quiet.begin()
  quiet.clock.now += 300
  t.equal(quiet.rank(), RANK.quiet)
  quiet.clock.now += 1_000
  t.equal(quiet.breaker.rank(quiet.clock.now, false), RANK.quiet)
  t.equal(quiet.rank(), RANK.trial)
  begin()?.head()
  t.equal(breaker.rank(clock.now, false), RANK.fit)
})

t.test('a stream that finds nobody while a trial is due ejects the server again', async t => {
  const { breaker, clock, fail, rank } = grouped()
  for (let i = 0; i < 3; i++) fail()
  clock.now += 1_101
  const stream = {}
  breaker.enter(stream, false)
  breaker.failed(stream, false, 'upstream_unreachable')
  breaker.left(stream, false, false, false)
  t.match(breaker.reason, /^its trial failed: no connection could be made$/)
  t.equal(rank(), RANK.lastResort)
})

t.test('who was chosen as a trial is not chosen again at once, even if nothing has come of it yet', async t => {
  const { breaker, clock, fail, rank } = grouped()
  for (let i = 0; i < 3; i++) fail()
  clock.now += 1_101
  t.equal(rank(), RANK.trial)
  breaker.probed(clock.now)
  t.equal(rank(), RANK.lastResort)
  clock.now += 1_000
  t.equal(rank(), RANK.trial)
})

t.test('a timeout counts only where the server answered nobody meanwhile, and had not begun to', async t => {
  const { breaker, clock, succeed } = grouped()
  const timeout = (answered: boolean, meanwhile: () => void): void => {
    const call = {}
    const at = clock.now
    breaker.enter(call, true)
    if (answered) breaker.head(call, true, at, 200)
    clock.now += 10
    meanwhile()
    clock.now += 10
    breaker.failed(call, true, 'upstream_timeout', answered, at)
    breaker.left(call, true, answered, false)
  }
  for (let i = 0; i < 20; i++) timeout(true, () => {})
  for (let i = 0; i < 20; i++) timeout(false, succeed)
  t.equal(breaker.state, 'up')
  for (let i = 0; i < 3; i++) timeout(false, () => {})
  t.equal(breaker.state, 'ejected')
})

t.test('after the ejection one call is on trial; what has nowhere else to go passes beside it, and before', async t => {
  const { breaker, clock, fail, begin, succeed, changes, rank } = grouped()
  for (let i = 0; i < 3; i++) fail()
  t.equal(rank(), RANK.lastResort, 'others first while ejected')
  t.ok(begin(), 'a session that lives there')
  clock.now += 1_101
  t.equal(rank(), RANK.trial)
  const trial = begin()
  t.ok(trial)
  t.equal(rank(), RANK.lastResort, 'one alone')
  t.ok(begin(), 'a session that lives there')
  trial?.head()
  t.equal(breaker.state, 'up')
  t.ok(begin())
  trial?.end()
  succeed()
  t.match(changes, [{ state: 'ejected' }, { state: 'up', ms: 1_101 }])
})

t.test('a good check ends an ejection at once', async t => {
  const { breaker, fail, changes } = grouped()
  for (let i = 0; i < 3; i++) fail()
  breaker.checked(undefined)
  t.equal(breaker.state, 'up')
  breaker.checked(undefined)
  t.match(changes, [{ state: 'ejected' }, { state: 'up', ms: Number }])
  t.equal(changes.length, 2)
})

t.test('alone, a server whose check fails still gets a call a second: the check may be wrong', async t => {
  const { breaker, clock, begin, succeed } = setUp()
  breaker.checked('its check fails')
  t.equal(begin(), undefined)
  clock.now += 1_000
  t.ok(begin())
  t.equal(begin(), undefined)
  clock.now += 1_000
  succeed()
  t.equal(breaker.state, 'down', 'the check decides')
})

t.test('one of several that nobody reaches for long has lost its sessions', async t => {
  const { breaker, clock, fail, begin } = grouped()
  for (const ms of [0, 10_000, 10_000, 9_999]) {
    clock.now += ms
    fail('upstream_unreachable')
    t.notOk(breaker.lost)
  }
  clock.now += 1
  fail('upstream_unreachable')
  t.ok(breaker.lost)
  begin()?.head(502)
  t.notOk(breaker.lost, 'somebody is there')
  breaker.checked('its check fails')
  clock.now += 29_999
  t.notOk(breaker.lost)
  clock.now += 1
  t.ok(breaker.lost)
  breaker.checked(undefined)
  t.notOk(breaker.lost)
  const alone = setUp()
  for (let i = 0; i < 7; i++) {
    alone.fail('upstream_unreachable')
    alone.clock.now += 10_000
  }
  t.notOk(alone.breaker.lost, 'alone, there is nowhere else to go')
})

t.test('of the time in which nobody asked, little counts: it may have been there', async t => {
  const { breaker, clock, fail } = grouped()
  for (let i = 0; i < 3; i++) {
    fail('upstream_unreachable')
    clock.now += 600_000
    t.notOk(breaker.lost, `${i + 1} failures`)
  }
  fail('upstream_unreachable')
  t.ok(breaker.lost, 'four times in a row it was not')
})

t.test('a trial that its client gives up is not judged: the next call is on trial', async t => {
  const { clock, fail, begin, rank } = grouped()
  for (let i = 0; i < 3; i++) fail()
  clock.now += 1_101
  const trial = begin()
  t.equal(rank(), RANK.lastResort)
  trial?.giveUp()
  t.equal(rank(), RANK.trial)
})

t.test('a trial without an answer is one that has failed', async t => {
  const { breaker, clock, fail, begin, rank } = grouped()
  for (let i = 0; i < 3; i++) fail()
  clock.now += 1_101
  const trial = begin()
  t.ok(trial)
  clock.now += 1_200
  t.equal(rank(), RANK.lastResort, 'ejected again, for longer')
  clock.now += 1_700
  t.equal(rank(), RANK.lastResort)
  clock.now += 600
  t.equal(rank(), RANK.trial)
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
  const { breaker, fail, succeed } = setUp()
  for (let i = 0; i < 20; i++) t.ok(fail('upstream_unreachable'))
  t.equal(breaker.state, 'ejected', 'for those who look')
  succeed()
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
  t.equal(rank(), RANK.lastResort)
  t.match(breaker.reason, /^no answer to 4 calls for 5 s, while others answer$/)
})

t.test('one call that takes long does not make those look old that have just come', async t => {
  const peers = new Peers()
  const { clock, begin, rank, breaker, fail } = grouped({ peers, failures: 5 })
  begin()
  for (let i = 0; i < 60; i++) {
    clock.now += 1_000
    peers.head(20, clock.now)
  }
  const burst = [1, 2, 3, 4].map(() => begin())
  t.not(rank(), RANK.lastResort)
  t.equal(breaker.state, 'up')
  clock.now += 15
  burst[0]?.head()
  fail('upstream_unreachable')
  t.equal(breaker.state, 'up')
  // When all of them have been silent for long, it hangs.
  for (let i = 0; i < 5; i++) begin()
  clock.now += 5_000
  peers.head(20, clock.now)
  t.equal(rank(), RANK.lastResort)
  t.match(breaker.reason, /^no answer to 5 calls for 5 s, while others answer$/)
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
  t.ok(breaker.enter({}, false), 'of a session')
  clock.now += 1_101
  t.ok(breaker.enter({}, false))
  t.ok(breaker.enter({}, true), 'it was no trial')
  breaker.head(stream, false, 0, 200)
  t.equal(breaker.state, 'up')
})

t.test('streams that break count for nothing, but for those that get no connection', async t => {
  const { breaker } = grouped()
  const broken = (code: Parameters<Breaker['failed']>[2]): void => {
    const stream = {}
    breaker.enter(stream, false)
    breaker.failed(stream, false, code)
    breaker.left(stream, false, true, false)
  }
  for (let i = 0; i < 10; i++) broken('upstream_reset')
  t.equal(breaker.state, 'up')
  for (let i = 0; i < 3; i++) broken('upstream_unreachable')
  t.equal(breaker.state, 'ejected')
})

t.test('one that hung for long, and answers at last, does not make all others look fast', async t => {
  const peers = new Peers()
  peers.head(300_000, 1)
  t.equal(peers.slowest, 30_000)
  for (let i = 0; i < 64; i++) peers.head(1, 2)
  t.ok(peers.slowest < 11_100 && peers.slowest > 10_000)
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

t.test('whatever happens: one trial at a time, counts that add up, and a way back', async () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant('begin' as const) }),
    fc.record({
      do: fc.constantFrom('head', 'end', 'fail', 'refuse', 'timeout', 'give up' as const),
      which: fc.nat(9)
    }),
    fc.record({ do: fc.constant('status' as const), which: fc.nat(9), status: fc.constantFrom(200, 404, 502, 503) }),
    fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 5_000 }) })
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), fc.boolean(), (steps, alone) => {
      const { breaker, clock } = alone ? setUp() : grouped()
      const open: { call: object; at: number; answered: boolean }[] = []
      const leave = (i: number, whole: boolean): void => {
        const [one] = open.splice(i, 1)
        if (one) breaker.left(one.call, true, one.answered, whole && one.answered)
      }
      for (const s of steps) {
        if (s.do === 'wait') clock.now += s.ms
        if (s.do === 'begin') {
          const call = {}
          const [was, rank] = [breaker.state, breaker.rank(clock.now)]
          const admitted = breaker.enter(call, true)
          if (admitted) open.push({ call, at: clock.now, answered: false })
          if (admitted && was === 'ejected' && rank === RANK.trial && breaker.rank(clock.now) === RANK.trial)
            return false
        }
        if (!('which' in s) || open.length === 0) continue
        const i = s.which % open.length
        const one = open[i]!
        if ((s.do === 'head' || s.do === 'status') && !one.answered) {
          one.answered = true
          breaker.head(one.call, true, one.at, 'status' in s ? s.status : 200)
        }
        const code = { fail: 'upstream_reset', refuse: 'upstream_unreachable', timeout: 'upstream_timeout' } as const
        if (s.do in code) breaker.failed(one.call, true, code[s.do as keyof typeof code], one.answered, one.at)
        if (s.do !== 'head' && s.do !== 'status') leave(i, s.do === 'end')
        if (breaker.inFlight !== open.length || breaker.silent < 0 || breaker.silent > open.length) return false
      }
      while (open.length > 0) leave(0, false)
      if (breaker.inFlight !== 0 || breaker.silent !== 0) return false
      clock.now += 10_000
      const last = {}
      if (!breaker.enter(last, true)) return false
      breaker.head(last, true, clock.now, 200)
      breaker.left(last, true, true, true)
      return breaker.state === 'up' && breaker.rank(clock.now) === RANK.fit
    })
  )
})
