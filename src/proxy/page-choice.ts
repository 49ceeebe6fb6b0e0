import type { CatflapError, ErrorCode } from '../errors.ts'
import { RANK, type Rank } from '../transport/upstream/breaker.ts'
import { type Balance, type Candidate, choose } from './balancer.ts'
import type { Member } from './group-target.ts'

/** Which of several servers, by their place in the list, is asked for what is not MCP. */
export interface PageChoice {
  /** One that is to be asked, but for those that were; undefined: there is none. */
  choose(but: readonly number[]): number | undefined
  /** Why there is none. */
  unavailable(): CatflapError
  /** Takes one retry from the budget, if there is one. */
  mayRetry(): boolean
  /** It has answered. */
  reached(server: number): void
  /** It could not be asked. */
  failed(server: number, code: ErrorCode): void
}

/**
 * Pages take turns of their own: a client that asks for a page before each call would else have all calls at one server. They
 * are no trial of a server either, since a page that comes says nothing of MCP.
 */
export class PageTurns implements PageChoice {
  readonly #turns: readonly Turn[]
  readonly #balance: Balance
  readonly #group: Pick<PageChoice, 'unavailable' | 'mayRetry'>

  constructor(members: readonly Member[], balance: Balance, group: Pick<PageChoice, 'unavailable' | 'mayRetry'>) {
    this.#turns = members.map(member => new Turn(member))
    this.#balance = balance
    this.#group = group
  }

  choose(but: readonly number[]): number | undefined {
    const now = performance.now()
    for (const [i, turn] of this.#turns.entries())
      if (but.includes(i)) turn.rank = RANK.none
      else turn.stand(now, this.#balance)
    const chosen = choose(this.#turns)
    return chosen && this.#turns.indexOf(chosen)
  }

  unavailable(): CatflapError {
    return this.#group.unavailable()
  }

  mayRetry(): boolean {
    return this.#group.mayRetry()
  }

  reached(server: number): void {
    this.#turns[server]!.member.breaker.reached()
  }

  failed(server: number, code: ErrorCode): void {
    this.#turns[server]!.member.breaker.failed(this, false, code)
  }
}

class Turn implements Candidate {
  readonly member: Member
  readonly weight: number
  rank: Rank = RANK.none
  load = 0
  owed = 0

  constructor(member: Member) {
    this.member = member
    this.weight = member.weight
  }

  stand(now: number, balance: Balance): void {
    const { member } = this
    member.stand(now, balance)
    this.rank = member.rank
    this.load = member.load
    if (this.rank !== RANK.trial) return
    const { endsAt } = member.breaker
    this.rank = endsAt > 0 ? RANK.lastResort : RANK.quiet
    if (endsAt > 0) this.load = endsAt
  }
}
