import { CatflapError } from '../errors.ts'
import { Message } from '../protocol/message.ts'
import { announcedLists } from '../protocol/server-identity.ts'
import type { Session } from '../session/manager.ts'
import { epochOf } from '../session/recorded-leg.ts'
import { ask } from '../transport/upstream/shared-child-ask.ts'
import type { Leg } from '../transport/upstream.ts'
import type { Exchange } from './exchange.ts'
import type { Answer } from './interceptor.ts'
import { type LossOutcome, restore, Unrecoverable } from './renew-leg.ts'
import { firstWords, moved, mustBe, recover } from './renew-session.ts'
import { openAnotherLeg, send } from './session-leg.ts'
import { takeUntold } from './session-state.ts'

/** How long all of it may take, in ms. Some commands are fetched first. */
const REOPEN_TIME = 30_000

/**
 * The child of this session has ended: starts another one and repeats the client's `initialize` there, once for all who ask.
 * Undefined: the session goes on. What was written to the child that ended is lost with it, and never written again.
 */
export function reopen(x: Exchange, session: Session): Promise<Answer | undefined> {
  const recovery = session.recovery!
  recovery.pending ??= recover(x, session, signal => reopened(x, session, signal), {
    time: REOPEN_TIME,
    passing: isPassing
  }).finally(() => {
    recovery.pending = undefined
  })
  return recovery.pending.then(
    leg => (leg && !session.ended ? undefined : { error: new CatflapError('session_not_found') }),
    error => ({ error })
  )
}

/** No child may be started just now; a later call may have more luck. */
function isPassing(error: unknown): boolean {
  return error instanceof CatflapError && error.status === 503
}

async function reopened(x: Exchange, session: Session, signal: AbortSignal): Promise<LossOutcome> {
  const { core } = x
  const { initialize, server } = firstWords(core, session)
  const tried = await openAnotherLeg(core, session, x, signal)
  const { leg } = tried
  try {
    const say = asker(x, session, leg, signal)
    const answer = await say(Message.parse(Buffer.from(initialize)))
    if (answer.isError) throw new Unrecoverable('refused', 'the server refused its initialize')
    mustBe(server, answer)
    const begun = Message.from({ jsonrpc: '2.0', method: 'notifications/initialized' })
    if (core.bus.active) core.tap.loose(session, 'pipe', 'server', 'up', begun, true)
    send(leg, begun)
    await restore(x, session, async message => ({ message: await say(message) }), signal)
    if (tried.lost) throw tried.lost
    const untold = announcedLists(answer)
    if (session.ended || !(await moved(core, session, leg, { epoch: epochOf(session.record), initialize, untold })))
      throw new Unrecoverable('unknown', 'it has ended meanwhile')
    // A store may have taken its time.
    if (tried.lost) throw tried.lost
  } catch (error) {
    void leg.close()
    throw error
  }
  core.sessions.renewed(session, leg)
  // On the channel they wait for a stream by themselves.
  for (const message of await takeUntold(core, session)) session.channel?.fromServer(message, undefined)
  return 'kept'
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
