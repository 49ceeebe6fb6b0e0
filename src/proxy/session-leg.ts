import type { CatflapError } from '../errors.ts'
import type { Message } from '../protocol/message.ts'
import { Channel } from '../session/channel.ts'
import { factsOf } from '../session/facts.ts'
import { Recovery } from '../session/recovery.ts'
import type { Session } from '../session/session.ts'
import { Brake } from '../transport/brake.ts'
import type { CallReceiver, Leg, LegEvents } from '../transport/upstream.ts'
import type { Core } from './core.ts'
import type { Exchange } from './exchange.ts'

/** Whose leg it is: known only once the leg is there, and the session made. */
interface Holder {
  session?: Session
  leg?: Leg
  /** Why the leg is gone, where it went by itself. */
  lost?: CatflapError
}

/** A leg that is no session's yet. */
export interface TriedLeg {
  readonly leg: Leg
  /** Why it is gone, where it is. */
  readonly lost?: CatflapError
}

/**
 * A session whose leg is a pipe of its own (a child, a server on HTTP+SSE): opens it, and leads what it says on its own
 * account through the session's channel to the streams of an HTTP client. Rejects with too_many_sessions, and where no child
 * may be started now; a server that cannot be reached fails its first call.
 */
export async function openSessionLeg(x: Exchange): Promise<Session> {
  const { core, principal, handle, message: initialize } = x
  const holder: Holder = {}
  const leg = await openPipe(core, holder, x)
  // What the child says before there is a session to hear it waits in the pipe.
  leg.pause?.()
  let session: Session
  try {
    session = await core.sessions.start({ principal, leg, handle, initialize: initialize?.bytes.toString() })
  } catch (error) {
    leg.resume?.()
    await leg.close()
    throw error
  }
  holder.session = session
  session.channel = channelOf(core, session)
  leg.resume?.()
  return session
}

/** Leads what the server says on its own account to the streams of an HTTP client. */
export function channelOf(core: Core, session: Session): Channel {
  return new Channel(core.settings, {
    toServer: (message, own) => {
      if (own && core.bus.active) core.tap.loose(session, 'pipe', 'server', 'up', message, true)
      send(session.leg, message)
    },
    undelivered: (message, why) => {
      core.log.debug('undelivered', `session ${session.handle}: ${message.method} reached nobody: ${why}`)
      if (core.bus.active) core.tap.note(session, 'dropped', `${message.method} reached nobody: ${why}`)
    }
  })
}

/** Another leg for a session whose own is gone; it is the session's once that has learned of it. Rejects as `openSessionLeg` does. */
export async function openAnotherLeg(
  core: Core,
  session: Session,
  from: Exchange,
  signal: AbortSignal
): Promise<TriedLeg> {
  const holder: Holder = { session }
  await openPipe(core, holder, from, signal)
  return holder as TriedLeg
}

async function openPipe(core: Core, holder: Holder, from: Exchange, signal?: AbortSignal): Promise<Leg> {
  const { target } = core
  const events = legEvents(core, holder)
  holder.leg = target.start ? await target.start(events, signal) : target.open(events, from)
  return holder.leg
}

/** Messages outside any call have nobody who waits for the outcome. */
export function send(leg: Leg, message: Message): void {
  const receiver: CallReceiver = { onHead() {}, onData() {}, onMessage() {}, onEnd() {}, onError() {} }
  const input = { kind: 'notify', era: 'legacy', message, batch: undefined, body: undefined, headers: [] } as const
  leg.call(input, receiver)
}

function legEvents(core: Core, holder: Holder): LegEvents {
  const observe = legObserver(
    core,
    () => holder.session,
    () => 'pipe'
  )
  const brake = new Brake(
    () => holder.leg?.pause?.(),
    () => holder.leg?.resume?.()
  )
  return {
    ...observe,
    heads: true,
    message(message, call) {
      const session = holder.session
      if (!session?.channel) return
      holdBack(core, brake)
      // Progress belongs to its call or to nobody; anything else may take another way.
      if (call && message.method === 'notifications/progress') {
        if (!call.deliver?.(message)) observe.late(message)
        return
      }
      session.channel.fromServer(message, call && { deliver: m => call.deliver?.(m) ?? false })
    },
    lost(error, facts) {
      observe.lost(error, facts)
      if (facts.expected !== 1) core.log.warn(lossOf(core), error.message, facts)
      holder.lost = error
      const session = holder.session
      // One that was only tried is the concern of who tried it.
      if (!session || (holder.leg && session.leg !== holder.leg)) return
      if (facts.expected === 1 || !canReopen(core, session)) return void core.sessions.end(session, 'lost')
      session.recovery ??= new Recovery()
      session.recovery.lost = error
      session.channel?.renew()
    }
  }
}

/** The next call of the session starts another child. */
function canReopen(core: Core, session: Session): boolean {
  const wanted = core.sessionLoss === 'reinitialize' && core.target.kind === 'stdio' && !session.ended
  return wanted && factsOf(session.record).server !== undefined
}

/** A tape that must not lose anything has no room: the child waits, like everything else that would be recorded. */
export function holdBack(core: Core, brake: Brake): void {
  const blocked = core.bus.blocked()
  if (blocked) brake.holdUntil('tape', blocked)
}

/** What is only told, never acted upon: the same for every leg that is a child. */
export function legObserver(
  core: Core,
  session: () => Session | undefined,
  stream: () => string
): Omit<LegEvents, 'message' | 'full' | 'drain'> {
  const tap = core.tap
  return {
    late(message) {
      core.log.debug('late', 'the server said what nobody waits for any more')
      if (core.bus.active) {
        const what = message.kind === 'response' ? 'an answer' : message.method
        tap.note(session(), 'late', `${what} that nobody waits for any more`)
        tap.loose(session(), stream(), 'server', 'down', message)
      }
    },
    noise(bytes) {
      const text = bytes.subarray(0, 500).toString('utf8')
      core.log.warn('noise', `the server said something that is no MCP message: ${text}`)
      if (core.bus.active) tap.note(session(), 'noise', bytes.subarray(0, 64 * 1024).toString('utf8'))
    },
    stderr(line) {
      core.log.debug('stderr', line)
      if (core.bus.active) tap.note(session(), 'stderr', line)
    },
    lost(error, facts) {
      const what = lossOf(core)
      // A session that was ended is not lost; that a process ended is worth telling either way.
      if (what === 'session-lost' && facts.expected === 1) return
      if (core.bus.active) tap.note(session(), what, error.message, facts)
    },
    note(text) {
      core.log.warn('server', text)
      if (core.bus.active) tap.note(session(), 'notice', text)
    },
    http(method, path, headers) {
      return core.bus.active ? tap.upstreamRequest(session(), method, path, headers) : undefined
    },
    own(message) {
      if (core.bus.active) tap.loose(session(), stream(), 'server', 'up', message, true)
    },
    again(reason) {
      core.meter?.again(reason)
    },
    changed(_client, server, dir) {
      if (core.bus.active) tap.loose(session(), stream(), 'server', dir, server)
    }
  }
}

/** What it is that was lost: a process, or what a server elsewhere knew. */
function lossOf(core: Core): 'child-exit' | 'session-lost' {
  return core.target.kind === 'stdio' ? 'child-exit' : 'session-lost'
}
