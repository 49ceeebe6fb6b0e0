import { setTimeout as sleep } from 'node:timers/promises'
import { asCatflapError, CatflapError } from '../errors.ts'
import { factsOf } from '../session/facts.ts'
import { epochOf, ownerOf, recordedLeg } from '../session/recorded-leg.ts'
import { Recovery } from '../session/recovery.ts'
import type { Session } from '../session/session.ts'
import type { Instance, Membership } from '../session/shared.ts'
import type { Peers, PeerTo } from '../transport/upstream/peer.ts'
import type { Core, Target } from './core.ts'
import type { Exchange } from './exchange.ts'
import { HeldNames } from './held-names.ts'
import type { Answer } from './interceptor.ts'

export interface HandOverParts {
  readonly membership: Membership
  /** The way to other instances; undefined: there is none. */
  readonly peers: Peers | undefined
  readonly route: string
  /** For how long a process is waited for that is not heard of, in ms. */
  readonly lease: number
}

/** What only one of several processes can do is done there: the part of one route. */
export class HandOver {
  readonly membership: Membership
  readonly held: HeldNames
  readonly #parts: HandOverParts
  readonly #watched = new Map<string, Set<Exchange>>()
  #watch: NodeJS.Timeout | undefined
  #looking = false
  #toldAt = Number.NEGATIVE_INFINITY
  /** Are waited for, and were gone at the last look. */
  readonly #gone = new Set<string>()
  /** Since when those that are waited for cannot be reached, although they are there (`performance.now()`). */
  readonly #silent = new Map<string, number>()
  /** Exchanges that were handed over, and sessions that were taken over, so far. */
  handedOver = 0
  takenOver = 0

  constructor(parts: HandOverParts) {
    this.#parts = parts
    this.membership = parts.membership
    this.held = new HeldNames(parts.membership, parts.route)
  }

  /**
   * Finds who is to carry out an exchange in a session that another process holds, or held. Undefined: `x.peer` and `x.leg` say who; where `x.peer` is
   * undefined, this process holds the session by now. `again`: what is remembered was of no use.
   */
  async choose(x: Exchange, session: Session, again: boolean): Promise<Answer | undefined> {
    const { lease, peers } = this.#parts
    const until = x.startedAt + 2 * lease + PATIENCE
    for (let fresh = again; !x.ended; fresh = true) {
      if (fresh) await pause(x)
      if (session.ended) return await goneHere(x, session)
      const owner = session.remote
      x.peer = undefined
      if (owner === undefined) return undefined
      const there = owner === '' ? undefined : await this.membership.find(owner, fresh)
      if (performance.now() > until) return { error: new CatflapError('owner_unreachable') }
      if (there) {
        if (there.address === undefined || !peers) return { error: new CatflapError('owner_unreachable', NO_WAY) }
        if (fresh && !(await x.core.sessions.refresh(session))) return await goneHere(x, session)
        if (session.remote !== owner) continue
        this.#lead(x, session, owner, peers, there.address)
        return undefined
      }
      if (owner !== '' && !(await this.membership.depose(owner))) continue
      const refused = await this.#takeOver(x, session, owner)
      if (refused) return refused
    }
    return undefined
  }

  /** What the server of each process has given to clients; undefined: nobody else would come for it, or could be reached. */
  holding({ kind }: Target): HeldNames | undefined {
    return kind === 'stdio' && this.#parts.peers ? this.held : undefined
  }

  /** Finds the process that holds what a request names. Where `x.peer` is undefined afterwards, this one is to carry it out. */
  async toHolder(x: Exchange, name: string, again: boolean): Promise<Answer | undefined> {
    const { lease, peers } = this.#parts
    x.peer = undefined
    if (again) await pause(x)
    const [owner, there] = await this.#holderOf(name, again)
    if (x.ended || owner === undefined || there?.address === undefined || !peers) return undefined
    if (performance.now() > x.startedAt + 2 * lease + PATIENCE) return { error: new CatflapError('owner_unreachable') }
    x.peer = owner
    x.leg = peers.leg(there.address, this.#to(x, owner, { session: undefined, held: name }))
    return undefined
  }

  /** A store that does not tell keeps no request from a server that may know what to do with it. */
  async #holderOf(name: string, fresh: boolean): Promise<[owner?: string, there?: Instance]> {
    try {
      const owner = await this.membership.holder(name)
      if (owner === undefined || owner === this.membership.id) return []
      return [owner, await this.membership.find(owner, fresh)]
    } catch {
      return []
    }
  }

  #to(x: Exchange, instance: string, what: Pick<PeerTo, 'session' | 'held' | 'pipe'>): PeerTo {
    return {
      route: this.#parts.route,
      instance,
      principal: x.principal,
      remoteAddress: x.client?.remoteAddress,
      ...what
    }
  }

  #lead(x: Exchange, session: Session, owner: string, peers: Peers, address: string): void {
    x.peer = owner
    x.leg = peers.leg(address, this.#to(x, owner, { session: session.id, pipe: x.posted }))
  }

  /** The exchange is on its way to its peer: where that is gone, it fails. */
  entered(x: Exchange): void {
    this.handedOver++
    let set = this.#watched.get(x.peer!)
    if (!set) this.#watched.set(x.peer!, (set = new Set()))
    set.add(x)
    this.#watch ??= setInterval(() => void this.#look(), this.#parts.lease / 4).unref()
  }

  /** It could not be told there: people may want to know why. */
  vain({ core }: Exchange, error: CatflapError): void {
    if (error.code === 'session_moved' || performance.now() - this.#toldAt < TELL_EVERY) return
    this.#toldAt = performance.now()
    core.log.warn('instance-unreachable', `what another instance holds cannot be handed over: ${error.message}`)
  }

  left(x: Exchange): void {
    const set = this.#watched.get(x.peer!)
    if (!set?.delete(x) || set.size > 0) return
    this.#watched.delete(x.peer!)
    if (this.#watched.size > 0) return
    clearInterval(this.#watch)
    this.#watch = undefined
  }

  async #look(): Promise<void> {
    if (this.#looking) return
    this.#looking = true
    try {
      for (const [owner, set] of [...this.#watched]) {
        const there = await this.membership.find(owner, true)
        if (there ? await this.#isNear(owner, there) : !(await this.#isGone(owner))) continue
        this.#silent.delete(owner)
        for (const x of [...set]) x.ownerLost()
      }
      for (const owner of this.#gone) if (!this.#watched.has(owner)) this.#gone.delete(owner)
      for (const owner of this.#silent.keys()) if (!this.#watched.has(owner)) this.#silent.delete(owner)
    } catch {
      // The store does not tell: nobody is taken for gone meanwhile.
    } finally {
      this.#looking = false
    }
  }

  /** It was so at the last look too: what it had said before it went has come by now. */
  async #isGone(owner: string): Promise<boolean> {
    if (!(await this.membership.depose(owner))) return false
    if (this.#gone.has(owner)) return true
    this.#gone.add(owner)
    return false
  }

  /** False: it is there, but for a lease there has been no way to it, so that nothing will come from there. */
  async #isNear(owner: string, { address }: Instance): Promise<boolean> {
    const { peers, lease } = this.#parts
    if (address === undefined || (await peers?.reaches(address, lease / 2))) {
      this.#silent.delete(owner)
      return true
    }
    const since = this.#silent.get(owner) ?? performance.now()
    this.#silent.set(owner, since)
    return performance.now() - since < lease
  }

  /** The process that held it is gone, or has let go of it. */
  async #takeOver(x: Exchange, session: Session, owner: string): Promise<Answer | undefined> {
    const { core } = x
    if (x.kind === 'terminate') {
      await core.sessions.end(session, 'client')
      return { http: { status: 200, headers: [], body: undefined } }
    }
    if (!(await core.sessions.refresh(session))) return await goneHere(x, session)
    // Somebody else was quicker.
    if (session.remote === undefined || (session.remote !== owner && session.remote !== '')) return undefined
    if (!mayOutlive(core, session)) {
      void core.sessions.end(session, 'lost')
      return NOT_FOUND()
    }
    session.recovery ??= new Recovery()
    const { recovery } = session
    recovery.pending ??= this.#recover(x, session, session.remote).finally(() => {
      recovery.pending = undefined
    })
    return await recovery.pending.then(
      leg => (leg && !session.ended ? undefined : goneHere(x, session)),
      error => ({ error: asCatflapError(error) })
    )
  }

  async #recover(
    x: Exchange,
    session: Session,
    owner: string
  ): ReturnType<typeof import('./renew-session.ts').recover> {
    const { mayPass, REOPEN_TIME } = await import('./child-loss.ts')
    const { recover } = await import('./renew-session.ts')
    return await recover(x, session, signal => this.#reopened(x, session, owner, signal), {
      time: REOPEN_TIME,
      passing: mayPass,
      why: 'the instance that held it is gone'
    })
  }

  async #reopened(x: Exchange, session: Session, owner: string, signal: AbortSignal): Promise<'kept' | 'shared'> {
    const { claimed, keepClaim } = await import('./renew-session.ts')
    const { startAnew } = await import('./child-loss.ts')
    const { core } = x
    if (!this.membership.holds) await this.membership.confirm()
    const epoch = epochOf(session.record)
    if (!(await claimed(core, session, epoch, signal)) || !isLeft(session, owner)) return 'shared'
    // Some commands take longer to start than a claim lasts.
    const stop = keepClaim(core, session, epoch)
    try {
      if (!(await startAnew(x, session, signal, epoch))) return 'shared'
    } finally {
      stop()
    }
    this.takenOver++
    return 'kept'
  }

  /** Whether this process may carry out, for another one, what is asked in a session. */
  async mayAct(core: Core, id: string, principal: string): Promise<true | CatflapError> {
    const session = await core.sessions.find(id, principal)
    // Whom nobody knows is told so by what comes next.
    if (!session) return true
    // The store may have written that it is ours, and the answer be lost: whoever asks may take it.
    if (session.remote === '' && ownerOf(session.record) === this.membership.id) await core.sessions.disown(session)
    else if (core.draining && session.inFlight === 0 && core.sessions.outlives(session))
      await core.sessions.release(session)
    else if (session.remote === undefined) return true
    return new CatflapError('session_moved')
  }

  /** This process stops: what nobody waits for goes on elsewhere at once. */
  releaseIdle(core: Core): void {
    for (const session of [...core.sessions.live])
      if (session.inFlight === 0 && core.sessions.outlives(session))
        core.sessions.release(session).catch(() => {
          // It is let go of once more when all is closed.
        })
  }

  close(): void {
    clearInterval(this.#watch)
    this.#watched.clear()
    this.held.close()
  }
}

/** How long it may take beside the leases of those that are gone, in ms. */
const PATIENCE = 30_000
/** Between two looks at who holds a session, in ms: at first, and at most. */
const PAUSE = 50
const MOST_PAUSE = 250
/** That an instance cannot be reached is told no more often, in ms. */
const TELL_EVERY = 10_000
const NO_WAY =
  'The session is held by another instance of catflap, and there is no way there: start all with --cluster-listen and --cluster-key.'

/** Longer each time, wherever the exchange was sent in vain meanwhile. */
async function pause(x: Exchange): Promise<void> {
  await sleep(Math.min(PAUSE * 2 ** x.lookedAgain++, MOST_PAUSE))
}

function NOT_FOUND(): Answer {
  return { error: new CatflapError('session_not_found') }
}

/** Nobody holds it: who did is gone, or has let go of it. */
function isLeft({ record }: Session, owner: string): boolean {
  const now = ownerOf(record)
  return now === owner || now === ''
}

/** Whether another process can begin it anew: what client and server said at first is known. */
export function mayOutlive({ sessionLoss, target }: Core, { record }: Session): boolean {
  if (sessionLoss !== 'reinitialize' || target.kind !== 'stdio') return false
  return factsOf(record).server !== undefined && recordedLeg(record, target.name)?.initialize !== undefined
}

/** This process has let go of a session that goes on elsewhere: whoever needs it looks once more. */
export class WentElsewhere extends Error {}

/** It is not here any more. Rejects with WentElsewhere. */
export async function goneHere(x: Exchange, session: Session): Promise<Answer> {
  if (await x.core.sessions.find(session.id, session.record.principal)) throw new WentElsewhere()
  return NOT_FOUND()
}
