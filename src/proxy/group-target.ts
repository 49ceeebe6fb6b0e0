import { CatflapError } from '../errors.ts'
import type { Era } from '../protocol/versions.ts'
import { type Breaker, RANK, type Rank } from '../transport/upstream/breaker.ts'
import { isLasting } from '../transport/upstream/http-call.ts'
import type { PoolCounts } from '../transport/upstream/http-pool.ts'
import { Peers } from '../transport/upstream/peers.ts'
import { RetryBudget } from '../transport/upstream/retry-budget.ts'
import { targetName } from '../transport/upstream/target-name.ts'
import { UrlLeg } from '../transport/upstream/url-leg.ts'
import type { CallInput, CallReceiver, HttpWatch, Leg, LegEvents, UpstreamCall } from '../transport/upstream.ts'
import { type Balance, type Candidate, choose } from './balancer.ts'
import type { MemberHealth, Target, TargetStats } from './core.ts'
import { type Choice, GroupCall } from './group-call.ts'
import { type HealthSettings, weightOf } from './health-settings.ts'
import { clientLeg, HttpTarget } from './http-target.ts'
import type { Settings } from './options.ts'
import { type PageChoice, PageTurns } from './page-choice.ts'
import type { OpenTarget, WeightedUrl } from './target.ts'

export interface GroupOptions extends Pick<OpenTarget, 'via' | 'scrub' | 'onHealth'> {
  readonly health: HealthSettings
  readonly balance: Balance
}

/** One of several servers that answer alike. */
export class Member implements Candidate {
  readonly name: string
  readonly target: HttpTarget
  readonly weight: number
  readonly breaker: Breaker
  rank: Rank = RANK.none
  load = 0
  owed = 0

  constructor(name: string, target: HttpTarget, weight: number) {
    this.name = name
    this.target = target
    this.weight = weight
    this.breaker = target.breaker!
  }

  /** Where it stands in a choice that is to be made now. `counts`: for a call that is counted. */
  stand(now: number, balance: Balance, counts = true): void {
    const { breaker, weight } = this
    this.rank = breaker.rank(now, counts)
    // Of servers that are all busy, the one that hangs has the most that came after its last answer.
    const calls = this.rank === RANK.fit ? (balance === 'round-robin' ? 0 : breaker.inFlight) : breaker.silent
    // Where all are left out, the one whose time ends first is asked: nobody gains by an answer of ours.
    this.load = this.rank === RANK.lastResort ? breaker.endsAt : calls / weight
    // And one that has said so itself comes after all that only seem to be.
    if (this.rank === RANK.busy && breaker.isBusy(now)) this.load += SAYS_BUSY
  }
}

/**
 * Several servers behind URLs that answer alike. What belongs to no session goes to any that is to be asked; a session stays
 * with the server that made it, whose name is on the session's leg.
 */
export class GroupTarget implements Target, Choice {
  readonly name: string
  readonly members: readonly Member[]
  readonly pages: PageChoice
  readonly #settings: Settings
  readonly #options: GroupOptions
  readonly #retries = new RetryBudget()
  readonly #front: Leg
  /** The next leg is opened at this one. */
  #turned: Member | undefined

  constructor(name: string, urls: readonly WeightedUrl[], settings: Settings, options: GroupOptions) {
    this.name = name
    this.#settings = settings
    this.#options = options
    const peers = new Peers()
    const { via, scrub, health, onHealth } = options
    const taken = new Set<string>()
    this.members = urls.map(url => {
      const member = nameOf(url.url, taken, scrub)
      const group = { member, peers, retries: this.#retries }
      const target = new HttpTarget(name, url, settings, { via, scrub, health, onHealth, group })
      return new Member(member, target, weightOf(url.weight))
    })
    this.pages = new PageTurns(this.members, options.balance, this)
    this.#front = {
      upstreamId: undefined,
      call: (input: CallInput, receiver: CallReceiver): UpstreamCall => new GroupCall(this, input, receiver).start(),
      close: async () => {}
    }
  }

  /** Answers come on pipes only where no member gives them otherwise. */
  get kind(): 'http' | 'sse' {
    return this.members.every(m => m.target.kind === 'sse') ? 'sse' : 'http'
  }

  get label(): string {
    const { length } = this.members
    return `${this.members[0]!.target.label} and ${length - 1} more`
  }

  get era(): Era | undefined {
    const era = this.members[0]!.target.era
    return this.members.every(m => m.target.era === era) ? era : undefined
  }

  get sessionless(): Leg | undefined {
    return this.kind === 'sse' ? undefined : this.#front
  }

  /** Unknown while it is of any member; true as soon as it is of one. */
  get assignsIds(): boolean | undefined {
    if (this.members.some(m => m.target.assignsIds)) return true
    return this.members.every(m => m.target.assignsIds === false) ? false : undefined
  }

  /** Each member's is known from its own answers. */
  set assignsIds(_: boolean | undefined) {}

  open(events: LegEvents, from?: Pick<CallInput, 'headers' | 'query'>): Leg {
    const turned = this.#turned
    if (turned) return turned.target.open(events, from)
    if (this.kind === 'sse') return this.#any().target.open(events, from)
    const upstream = { label: this.label, sessionless: this.#front, sessionLeg: this.#sessionLeg.bind(this) }
    const { scrub } = this.#options
    const leg = clientLeg(upstream, this.#settings, { events, scrub, alone: from === undefined })
    return new UrlLeg(leg, () => {
      events.again?.('other_transport')
      return (this.#turned ?? this.#any()).target.open(events, from)
    })
  }

  resume(upstreamId: string, member?: string): Leg | undefined {
    return this.#named(member)?.target.resume(upstreamId)
  }

  stats(): TargetStats {
    const all = this.members.map(m => m.target.stats())
    const pool = (which: 'calls' | 'streams'): PoolCounts | undefined => sumOf(all.map(s => s.pools?.[which]))
    const queued = all.reduce((sum, s) => sum + (s.queued ?? 0), 0)
    return { queued, pools: { calls: pool('calls'), streams: pool('streams') } }
  }

  health(): readonly MemberHealth[] {
    return this.members.flatMap(m => m.target.health?.() ?? [])
  }

  async close(): Promise<void> {
    await Promise.all(this.members.map(m => m.target.close()))
  }

  choose(input: CallInput, but: readonly Member[] | undefined): Member | undefined {
    // Only `initialize` can go on over another transport.
    const opens = input.message?.method === 'initialize'
    const counts = !isLasting(input)
    const now = performance.now()
    for (const m of this.members) {
      const open = (opens || m.target.kind === 'http') && m.name !== input.avoid && !but?.includes(m)
      if (open) m.stand(now, this.#options.balance, counts)
      else m.rank = RANK.none
    }
    const chosen = choose(this.members)
    if (chosen?.rank === RANK.trial) chosen.breaker.probed(now)
    return chosen
  }

  unavailable(): CatflapError {
    const reasons = this.members.slice(0, MAX_REASONS).map(m => `${m.target.label}: ${m.breaker.reason ?? 'not asked'}`)
    const more = this.members.length - reasons.length
    if (more > 0) reasons.push(`${more} more`)
    const next = Math.min(...this.members.map(m => m.breaker.until ?? Number.POSITIVE_INFINITY)) - Date.now()
    const seconds = Number.isFinite(next) ? Math.max(1, Math.ceil(next / 1000)) : 1
    const text = `None of ${this.members.length} targets is asked now (${reasons.join('; ')}). Try again in ${seconds} s.`
    return new CatflapError('target_unavailable', text, { data: { target: this.label, retryAfter: seconds } })
  }

  mayRetry(): boolean {
    return this.#retries.take()
  }

  turned(member: Member, tell: () => void): void {
    const before = this.#turned
    this.#turned = member
    try {
      tell()
    } finally {
      this.#turned = before
    }
  }

  #sessionLeg(upstreamId: string, watch: HttpWatch | undefined, member: string | undefined): Leg {
    return (this.#named(member) ?? this.members[0]!).target.sessionLeg(upstreamId, watch)
  }

  #named(member: string | undefined): Member | undefined {
    return this.members.find(m => m.name === member)
  }

  /** For a pipe; where none is to be asked, its first call says so. */
  #any(): Member {
    const now = performance.now()
    for (const m of this.members) m.stand(now, this.#options.balance)
    const chosen = choose(this.members) ?? this.members[0]!
    // That a pipe cannot be opened shows soon, but until then more may be asked for.
    if (chosen.rank === RANK.trial) chosen.breaker.probed(now)
    return chosen
  }
}

/** More than the calls of any. */
const SAYS_BUSY = 2 ** 32
/** A message that names a hundred is read by nobody. */
const MAX_REASONS = 4

/** It stands in records of sessions, so it must be the same at each start. */
function nameOf(url: string, taken: Set<string>, scrub: GroupOptions['scrub']): string {
  const plain = targetName(new URL(url), scrub)
  let name = plain
  for (let n = 2; taken.has(name); n++) name = `${plain}#${n}`
  taken.add(name)
  return name
}

function sumOf(counts: readonly (PoolCounts | undefined)[]): PoolCounts | undefined {
  const known = counts.filter(c => c !== undefined)
  if (known.length === 0) return undefined
  const sum = { connected: 0, free: 0, running: 0, pending: 0, queued: 0 }
  for (const c of known) for (const key of Object.keys(sum) as (keyof typeof sum)[]) sum[key] += c[key]
  return sum
}
