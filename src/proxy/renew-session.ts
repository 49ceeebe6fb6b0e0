import { asCatflapError, CatflapError } from '../errors.ts'
import { Message } from '../protocol/message.ts'
import { announcedLists, serverIdentity } from '../protocol/server-identity.ts'
import { factsOf, withFacts } from '../session/facts.ts'
import { epochOf, recordedLeg } from '../session/recorded-leg.ts'
import type { Session } from '../session/session.ts'
import { SessionStoreUnavailableError } from '../session/store.ts'
import { storeFailed } from '../session/store-failed.ts'
import type { Leg } from '../transport/upstream.ts'
import type { Core } from './core.ts'
import type { Exchange } from './exchange.ts'
import { type LossOutcome, renewLeg, Unrecoverable } from './renew-leg.ts'
import { isUnanswered } from './session-loss.ts'
import { takeUntold } from './session-state.ts'

/** Calls of the session wait so long for its new leg, in ms. */
const RENEWAL_TIME = 10_000
/** For so long nobody else tries, in ms: whoever is about it may have died, and the others still have time. */
const CLAIM_TIME = RENEWAL_TIME / 2
/** How often it is looked whether another process has finished what it is about, in ms. */
const LOOK_EVERY = 50

/** Makes a session anew at its server over HTTP. Undefined: it cannot go on, and ends. */
export function renewSession(x: Exchange, session: Session): Promise<Leg | undefined> {
  return recover(x, session, signal => renewed(x, session, signal))
}

/**
 * The same at another server, where its own has been out of reach for too long. Rejects where no other can be asked either: its
 * own may come back, and know it still.
 */
export function moveSession(x: Exchange, session: Session): Promise<Leg | undefined> {
  return recover(x, session, signal => renewed(x, session, signal, session.leg.member), {
    passing: isUnanswered,
    why: 'its server has been out of reach for too long'
  })
}

export interface RecoverOptions {
  /** For all of it together, in ms. */
  readonly time?: number
  /** What is no reason for the session to end. */
  readonly passing?: (error: unknown) => boolean
  /** Default: the server no longer knows it. */
  readonly why?: string
}

/**
 * Runs `renew`, and tells everybody who has to know how that went. Where it fails the session ends. Rejects only with what
 * `passing` says is no reason for that, and where the store is away.
 */
export async function recover(
  x: Exchange,
  session: Session,
  renew: (signal: AbortSignal) => Promise<LossOutcome>,
  { time = RENEWAL_TIME, passing = () => false, why = 'the server no longer knows it' }: RecoverOptions = {}
): Promise<Leg | undefined> {
  const { core } = x
  const { handle } = session
  const epoch = epochOf(session.record)
  const recovery = session.recovery
  // While all servers are away, each call tries.
  if (!recovery?.inVain) {
    core.log.info('session-lost', `session ${handle}: ${why}`, { session: handle })
    if (core.bus.active) core.tap.note(x, 'session-lost', why)
  }
  const late = new AbortController()
  const { requestTimeout } = core.settings
  const tooLate = new CatflapError('upstream_timeout', `${core.target.label} did not take the session in time.`)
  const timer = setTimeout(() => late.abort(tooLate), Math.min(time, requestTimeout || time))
  try {
    const outcome = await renew(late.signal)
    core.meter?.reinitialized(outcome)
    const text = outcome === 'kept' ? 'initialize was repeated' : 'another process has repeated its initialize'
    core.log.info('session-reinitialized', `session ${handle}: ${text}`, { session: handle, outcome })
    if (core.bus.active) core.tap.note(x, 'session-reinitialized', text)
    return session.leg
  } catch (thrown) {
    const error = thrown instanceof SessionStoreUnavailableError ? asCatflapError(thrown) : thrown
    // Who cannot agree with the others now can do so later: nothing ends for that.
    if (isStoreAway(error) || passing(error)) {
      if (recovery) recovery.inVain = true
      throw error
    }
    // This process may have been stopped meanwhile, and the session go on elsewhere.
    if (core.handOver && (await hasMoved(core, session, epoch))) return session.leg
    const outcome = outcomeOf(error)
    core.meter?.reinitialized(outcome)
    const reason = error instanceof Error ? error.message : String(error)
    core.log.warn('session-not-reinitialized', `session ${handle} ends: ${reason}`, { session: handle, outcome })
    if (core.bus.active) core.tap.note(x, 'notice', `the session cannot go on: ${reason}`)
    void core.sessions.end(session, 'lost')
    return undefined
  } finally {
    clearTimeout(timer)
  }
}

/** Rejects where the store cannot tell: nothing ends for that. */
async function hasMoved(core: Core, session: Session, epoch: number): Promise<boolean> {
  try {
    await core.handOver?.membership.confirm()
    return (await core.sessions.refresh(session)) && epochOf(session.record) !== epoch
  } catch (error) {
    throw asCatflapError(error)
  }
}

function isStoreAway(error: unknown): boolean {
  return error instanceof CatflapError && error.code === 'store_unavailable'
}

function outcomeOf(error: unknown): LossOutcome {
  if (error instanceof Unrecoverable) return error.outcome
  return error instanceof CatflapError && error.code === 'upstream_status' ? 'refused' : 'unreachable'
}

/** Makes the session anew, or waits for another process that is about to. */
async function renewed(x: Exchange, session: Session, signal: AbortSignal, avoid?: string): Promise<LossOutcome> {
  const epoch = epochOf(session.record)
  if (!(await claimed(x.core, session, epoch, signal))) return await sharedWith(x.core, session)
  const { initialize, server } = firstWords(x.core, session)
  const { leg, answer } = await renewLeg(x, session, Message.parse(Buffer.from(initialize)), signal, avoid)
  try {
    mustBe(server, answer)
    if (!(await moved(x.core, session, leg, { epoch, initialize, untold: announcedLists(answer) })))
      return await sharedWith(x.core, session)
  } catch (error) {
    void leg.close(x.headers)
    throw error
  }
  await tellStreams(x.core, session)
  return 'kept'
}

/** Another process was first. */
async function sharedWith(core: Core, session: Session): Promise<LossOutcome> {
  await tellStreams(core, session)
  return 'shared'
}

/** What client and server said at first. Throws where that is not known. */
export function firstWords(core: Core, session: Session): { readonly initialize: string; readonly server: string } {
  const initialize = recordedLeg(session.record, core.target.name)?.initialize
  const { server } = factsOf(session.record)
  if (initialize !== undefined && server !== undefined) return { initialize, server }
  throw new Unrecoverable('unknown', 'its initialize is not known, or not what the server said to it')
}

/** Throws where the server is not what it was: the client goes by what it was told at first. */
export function mustBe(server: string, answer: Message): void {
  if (serverIdentity(answer) !== server)
    throw new Unrecoverable('changed', 'the server is another one, or offers something else')
}

/** True: it is ours to make the session anew. False: another process has done it. */
export async function claimed(core: Core, session: Session, epoch: number, signal: AbortSignal): Promise<boolean> {
  for (;;) {
    const ours = core.sessions.change(session, record => {
      const { renewing = 0 } = factsOf(record)
      if (epochOf(record) !== epoch || renewing > Date.now()) return undefined
      return { facts: withFacts(record, { renewing: Date.now() + CLAIM_TIME }) }
    })
    if (ours instanceof Promise ? await ours : ours) return true
    if (epochOf(session.record) !== epoch) return false
    if (signal.aborted) throw new CatflapError('upstream_timeout', 'Another process did not open the session in time.')
    await new Promise(resolve => setTimeout(resolve, LOOK_EVERY))
    if (!(await core.sessions.refresh(session))) throw new Unrecoverable('unknown', 'it has ended meanwhile')
  }
}

/** What was claimed stays so while it takes its time. Returns how to stop that. */
export function keepClaim(core: Core, session: Session, epoch: number): () => void {
  const again = async (): Promise<void> => {
    await core.sessions.change(session, record => {
      if (epochOf(record) !== epoch || factsOf(record).renewing === undefined) return undefined
      return { facts: withFacts(record, { renewing: Date.now() + CLAIM_TIME }) }
    })
  }
  const timer = setInterval(() => again().catch(error => storeFailed(core.log, error)), CLAIM_TIME / 3)
  return () => clearInterval(timer)
}

export interface Move {
  /** The one before. */
  readonly epoch: number
  readonly initialize: string
  readonly untold: readonly string[]
}

/** Writes the new leg down. False: another process was first, and this one is of no use. */
export async function moved(
  core: Core,
  session: Session,
  leg: Leg,
  { epoch, initialize, untold }: Move
): Promise<boolean> {
  const name = leg.member ?? core.target.name
  // A pipe is this process's alone.
  const owner = leg.upstreamId === undefined ? core.sessions.owner : undefined
  const done = await core.sessions.change(session, record => {
    if (epochOf(record) !== epoch) return undefined
    return {
      legs: { [name]: { upstreamId: leg.upstreamId, initialize, epoch: epoch + 1, owner } },
      facts: withFacts(record, {
        renewing: undefined,
        renewed: Date.now(),
        untold: untold.length > 0 ? untold : undefined
      })
    }
  })
  if (done) return true
  if (epochOf(session.record) === epoch) throw new Unrecoverable('unknown', 'it has ended meanwhile')
  void leg.close()
  return false
}

/** Streams that are open still belong to the session that the server has lost: nothing will ever come on them. */
export async function tellStreams(core: Core, session: Session): Promise<void> {
  if (session.streams === 0) return
  const open = [...core.inFlight].filter(s => s.session === session && s.leg !== session.leg && s.streaming)
  const one = open.find(s => s.canSay)
  const last = one ? await takeUntold(core, session) : []
  for (const stream of open) stream.sayAndEnd(stream === one ? last : [])
}
