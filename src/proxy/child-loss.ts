import { asCatflapError } from '../errors.ts'
import { Message } from '../protocol/message.ts'
import { announcedLists } from '../protocol/server-identity.ts'
import { epochOf } from '../session/recorded-leg.ts'
import type { Session } from '../session/session.ts'
import { ask } from '../transport/upstream/shared-child-ask.ts'
import type { Leg } from '../transport/upstream.ts'
import type { Exchange } from './exchange.ts'
import { goneHere } from './handover.ts'
import type { Answer } from './interceptor.ts'
import { type LossOutcome, restore, Unrecoverable } from './renew-leg.ts'
import { firstWords, moved, mustBe, recover } from './renew-session.ts'
import { channelOf, openAnotherLeg, send } from './session-leg.ts'
import { takeUntold } from './session-state.ts'

/** How long all of it may take, in ms. Some commands are fetched first. */
export const REOPEN_TIME = 30_000

/**
 * The child of this session has ended: starts another one and repeats the client's `initialize` there, once for all who ask.
 * Undefined: the session goes on. What was written to the child that ended is lost with it, and never written again.
 */
export function reopen(x: Exchange, session: Session): Promise<Answer | undefined> {
  const recovery = session.recovery!
  recovery.pending ??= recover(x, session, signal => reopened(x, session, signal), {
    time: REOPEN_TIME,
    passing: x.core.handOver ? mayPass : isPassing
  }).finally(() => {
    recovery.pending = undefined
  })
  return recovery.pending.then(
    leg => (leg && !session.ended ? undefined : goneHere(x, session)),
    error => ({ error: asCatflapError(error) })
  )
}

/** No child may be started just now, or the store does not do its work; a later call may have more luck. */
export function isPassing(error: unknown): boolean {
  return asCatflapError(error).status === 503
}

/** Where others serve the session too: this process may only have been stopped for a while. */
export function mayPass(error: unknown): boolean {
  return isPassing(error) || asCatflapError(error).code === 'upstream_timeout'
}

async function reopened(x: Exchange, session: Session, signal: AbortSignal): Promise<LossOutcome> {
  if (!(await startAnew(x, session, signal))) throw new Unrecoverable('unknown', 'it has ended meanwhile')
  return 'kept'
}

/**
 * Starts another child for the session and brings it to where the last one was. False: another process was first, and its child is
 * the session's. `epoch`: of the leg whose place it takes. Rejects with Unrecoverable.
 */
export async function startAnew(
  x: Exchange,
  session: Session,
  signal: AbortSignal,
  epoch = epochOf(session.record)
): Promise<boolean> {
  const { core } = x
  const { initialize, server } = firstWords(core, session)
  // What the child says waits for a stream of the client's, as ever.
  const channel = session.channel ?? channelOf(core, session)
  const before = session.channel
  session.channel = channel
  let leg: Leg | undefined
  try {
    const tried = await openAnotherLeg(core, session, x, signal)
    leg = tried.leg
    const untold = await greeted(x, session, leg, { initialize, server, signal })
    if (tried.lost) throw tried.lost
    if (session.ended || !(await moved(core, session, leg, { epoch, initialize, untold }))) {
      if (session.ended) throw new Unrecoverable('unknown', 'it has ended meanwhile')
      withdraw()
      return false
    }
    // A store may have taken its time.
    if (tried.lost) throw tried.lost
  } catch (error) {
    withdraw()
    throw error
  }
  core.sessions.renewed(session, leg)
  // On the channel they wait for a stream by themselves.
  for (const message of await takeUntold(core, session)) channel.fromServer(message, undefined)
  return true

  function withdraw(): void {
    void leg?.close()
    if (before) return
    session.channel = undefined
    channel.close()
  }
}

/** Says to the child what the client said at first; gives what the client is to be told. */
async function greeted(
  x: Exchange,
  session: Session,
  leg: Leg,
  { initialize, server, signal }: { readonly initialize: string; readonly server: string; readonly signal: AbortSignal }
): Promise<readonly string[]> {
  const { core } = x
  const say = asker(x, session, leg, signal)
  const answer = await say(Message.parse(Buffer.from(initialize)))
  if (answer.isError) throw new Unrecoverable('refused', 'the server refused its initialize')
  mustBe(server, answer)
  const begun = Message.from({ jsonrpc: '2.0', method: 'notifications/initialized' })
  if (core.bus.active) core.tap.loose(session, 'pipe', 'server', 'up', begun, true)
  send(leg, begun)
  await restore(x, session, async message => ({ message: await say(message) }), signal)
  return announcedLists(answer)
}

function asker(x: Exchange, session: Session, leg: Leg, signal: AbortSignal): (message: Message) => Promise<Message> {
  const { bus, tap, target } = x.core
  return async message => {
    if (bus.active) tap.loose(session, 'pipe', 'server', 'up', message, true)
    const answer = await ask(leg, target.label, message, signal)
    if (bus.active) tap.loose(session, 'pipe', 'server', 'down', answer)
    return answer
  }
}
