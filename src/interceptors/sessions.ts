import { CatflapError } from '../errors.ts'
import {
  contradicts,
  EVENT_ID_HEADER,
  getHeader,
  removeHeader,
  SESSION_HEADER,
  setHeader,
  VERSION_HEADER
} from '../protocol/headers.ts'
import { PEER } from '../protocol/peer-headers.ts'
import { ASSUMED_VERSION, allowsBatch, type Era, FIRST_MODERN_VERSION, LEGACY_VERSIONS } from '../protocol/versions.ts'
import type { Connection } from '../proxy/client.ts'
import type { Exchange } from '../proxy/exchange.ts'
import { WentElsewhere } from '../proxy/handover.ts'
import { type Answer, type Interceptor, type Outcome, Slot } from '../proxy/interceptor.ts'
import { openSessionLeg } from '../proxy/session-leg.ts'
import { endLost } from '../proxy/session-loss.ts'
import {
  initialized,
  onAnswer,
  parseAnswer,
  rememberWishes,
  sinceLoss,
  streamEnded,
  streamOpened
} from '../proxy/session-state.ts'
import { newHandle } from '../session/new-session.ts'
import type { Session } from '../session/session.ts'
import type { ReplyHead } from '../transport/upstream.ts'
import { whereHeld } from './held-state.ts'
import { unbegunLeg } from './modern-rules.ts'

/**
 * Maps sessions. Wherever the upstream leg is a session (a server that assigns an id, a stdio child) the client knows an id
 * of ours, and the server one of its own. A stateless server's clients get none, and the modern era has none.
 */
export function sessions(): Interceptor {
  return { name: 'sessions', request, head, end }
}

type Verdict = Answer | undefined | Promise<Answer | undefined>

/** Who has been looked for so long is nowhere, in ms. */
const LOOKED_LONG = 60_000

/** The session that an exchange has begun, in place of one that it was sent in. */
const begun = new Slot<Session>()

function request(x: Exchange): Verdict {
  const refused = x.core.target.era === undefined ? undefined : otherEra(x, x.core.target.era)
  if (refused) return refused
  if (x.opens) return x.opens.begin().then(() => undefined)
  if (x.connection) return onPipe(x)
  const headers = x.client!.headers
  if (contradicts(headers, VERSION_HEADER))
    return saidTwice('MCP-Protocol-Version', x.era === 'modern' ? 'header_mismatch' : 'invalid_request')
  if (x.era === 'modern') return modern(x)
  if (x.core.target.era === 'modern' && !x.core.target.sessionless) return modernOnly(x)
  if (contradicts(headers, SESSION_HEADER)) return saidTwice('Mcp-Session-Id')
  const batch = checkBatch(x)
  if (batch) return batch
  const id = getHeader(headers, SESSION_HEADER)
  const initialize = x.message?.method === 'initialize'
  if (id === undefined) return initialize ? start(x) : sessionless(x)
  removeHeader(x.headers, SESSION_HEADER)
  const found = x.core.sessions.find(id, x.principal)
  return found instanceof Promise ? found.then(session => inSession(x, session)) : inSession(x, found)
}

/** The user has said which era the server speaks, so it need not be bothered with the other. */
function otherEra(x: Exchange, era: Era): Answer | undefined {
  if (x.message?.kind !== 'request') return undefined
  if (era === 'legacy' && x.era === 'modern')
    return refuse('pairing_unsupported', `The server speaks revisions up to 2025-11-25 (--upstream-era legacy).`)
  // One that comes as a modern request is what any method that is none there is.
  if (era === 'legacy' || x.era === 'modern' || x.message.method !== 'initialize') return undefined
  const data = { supported: [FIRST_MODERN_VERSION], requested: x.message.protocolVersion }
  const text = `The server speaks revision ${FIRST_MODERN_VERSION}, which has no initialize${saidBy(x)}.`
  return { error: new CatflapError('unsupported_modern_version', text, { data }) }
}

/** A tape says itself what it is. */
function saidBy(x: Exchange): string {
  return x.core.target.kind === 'tape' ? '' : ' (--upstream-era modern)'
}

/** No sessions in the modern era: what would name one is ignored (spec 2026-07-28 streamable-http, "Earlier … Revisions"). */
function modern(x: Exchange): Verdict {
  removeHeader(x.headers, SESSION_HEADER)
  removeHeader(x.headers, EVENT_ID_HEADER)
  if (x.kind === 'listen' || x.kind === 'terminate') return methodNotAllowed('POST')
  if (x.kind === 'batch')
    return refuse('invalid_request', 'A batch is not allowed in this revision: send one message a request.')
  return toSessionless(x)
}

/** Said in no revision, or in an earlier one, to a server that is known to be modern and has no HTTP of its own. */
function modernOnly(x: Exchange): Answer {
  if (x.kind === 'listen' || x.kind === 'terminate') return methodNotAllowed('POST')
  if (x.version === undefined)
    return refuse('header_mismatch', 'MCP-Protocol-Version is missing: it must say what the message says.')
  const data = { supported: [FIRST_MODERN_VERSION], requested: x.version }
  const text = `The server does not speak revision ${x.version.slice(0, 40)}${saidBy(x)}.`
  return { error: new CatflapError('unsupported_modern_version', text, { data }) }
}

/** A server over HTTP judges for itself; a command's child, or a tape, is shared, as nothing binds a request to a client's own. */
function toSessionless(x: Exchange): Verdict {
  x.leg = x.core.target.sessionless
  if (x.leg) return undefined
  if (x.core.target.shared) return whereHeld(x)
  const text = `Requests of revision ${x.version} over HTTP to a server on a pipe are not bridged. Use a client of an earlier revision, or connect it by 'catflap forward --stdio'.`
  return refuse('pairing_unsupported', text)
}

function checkBatch(x: Exchange): Answer | undefined {
  if (x.kind !== 'batch') return undefined
  if (!allowsBatch(x.version))
    return refuse('invalid_request', `A batch is not allowed in revision ${x.version}: send one message a request.`)
  if (x.batch?.some(m => m.method === 'initialize'))
    return refuse('invalid_request', 'initialize must not be part of a batch.')
  return undefined
}

/** Outside any session a server over HTTP decides itself; a child has no life outside one, and a tape what was recorded there. */
function sessionless(x: Exchange): Answer | undefined {
  x.leg = x.core.target.sessionless
  if (x.leg) return undefined
  const leg = unbegunLeg(x)
  if (!leg) return refuse('session_required')
  if (x.kind === 'listen' || x.kind === 'terminate') return methodNotAllowed('POST')
  x.leg = leg
  return undefined
}

function inSession(x: Exchange, session: Session | undefined): Verdict {
  // One of HTTP+SSE hears its answers on its own stream, and nowhere else.
  if (!session || session.pipe) return refuse('session_not_found')
  x.session = session
  x.core.sessions.touch(session)
  if (session.remote !== undefined) return held(x, session, false)
  if (session.held) x.chooseAgain = () => whoHolds(x, session)
  if (!session.recovery?.lost || x.kind === 'terminate') return onLeg(x, session)
  return reopened(x, session)
}

/** Another process holds what it needs, or held it: the exchange is carried out there, or here once that is gone. */
async function held(x: Exchange, session: Session, again: boolean): Promise<Answer | undefined> {
  const { core } = x
  if (core.forPeers) {
    x.reply.extra.push(PEER.unprocessed, '1')
    return refuse('session_moved')
  }
  if (!core.handOver) return refuse('owner_unreachable')
  x.chooseAgain = () => held(x, session, true)
  try {
    const refused = await core.handOver.choose(x, session, again)
    if (refused || x.ended || x.peer !== undefined) return refused
  } catch (error) {
    return lookAgain(x, session, error)
  }
  return inSession(x, session)
}

/** It went elsewhere in the midst of it: nothing of the exchange was done. */
function lookAgain(x: Exchange, session: Session, error: unknown): Verdict {
  if (!(error instanceof WentElsewhere)) throw error
  return performance.now() - x.startedAt > LOOKED_LONG ? refuse('owner_unreachable') : whoHolds(x, session)
}

/** What this process held may have been taken from it: looks once more. */
async function whoHolds(x: Exchange, { id }: Session): Promise<Answer | undefined> {
  return inSession(x, await x.core.sessions.find(id, x.principal))
}

/** Its child has ended; what starts another is loaded when that happens. */
async function reopened(x: Exchange, session: Session): Promise<Answer | undefined> {
  const { reopen } = await import('../proxy/child-loss.ts')
  // Somebody else may have been quicker.
  try {
    const refused = session.recovery?.lost && (await reopen(x, session))
    return refused ?? onLeg(x, session)
  } catch (error) {
    return lookAgain(x, session, error)
  }
}

function onLeg(x: Exchange, session: Session): Verdict {
  x.leg = session.leg
  session.authorization = getHeader(x.headers, 'authorization') ?? session.authorization
  const negotiated = session.record.protocolVersion
  // Whatever the header says, it is the server that would have to understand it.
  if (x.kind === 'batch' && negotiated !== undefined && !allowsBatch(negotiated))
    return refuse('invalid_request', `A batch is not allowed in revision ${negotiated}: send one message a request.`)
  const late = session.recovery && sinceLoss(x, session, session.recovery)
  if (late instanceof Promise) return late.then(answer => answer ?? inOrder(x, session))
  return late ?? inOrder(x, session)
}

function inOrder(x: Exchange, session: Session): Verdict {
  rememberWishes(x, session)
  return session.channel ? asServer(x, session) : undefined
}

/** Behind us is a pipe, so we are the HTTP server and owe what one owes. */
function asServer(x: Exchange, session: Session): Verdict {
  if (x.message?.method === 'initialize') return refuse('initialize_in_session')
  const version = x.version ?? session.record.protocolVersion ?? ASSUMED_VERSION
  if (!LEGACY_VERSIONS.includes(version))
    return refuse('unsupported_version', `MCP-Protocol-Version '${version}' is not supported in this session.`)
  if (x.kind !== 'terminate') return undefined
  // It is unknown from now on; how long its child takes to go is not for the client to wait for.
  const ended = x.core.sessions.terminate(session)
  const answer: Answer = { http: { status: 200, headers: [], body: undefined } }
  return x.core.handOver ? ended.then(() => answer) : answer
}

async function start(x: Exchange): Promise<Answer | undefined> {
  const core = x.core
  await core.sessions.admit(core.settings.maxSessions)
  // A store may take its time, and clients may leave meanwhile.
  if (x.ended) return undefined
  if (core.target.sessionless) {
    // Whether this becomes a session is the server's to say, in the head of its answer.
    x.leg = core.target.sessionless
    if (core.target.assignsIds !== false) x.handle = newHandle()
    x.onOtherTransport = () => startOnLeg(x)
    return undefined
  }
  return startOnLeg(x)
}

/** Where answers come on a pipe, the session is ours: the client knows it from the head of the answer on. */
async function startOnLeg(x: Exchange): Promise<undefined> {
  const session = await openSessionLeg(x)
  if (x.ended) {
    await x.core.sessions.end(session, 'failed')
    return undefined
  }
  begun.set(x, session)
  x.session = session
  x.leg = session.leg
  x.reply.extra.push('Mcp-Session-Id', session.id)
  onAnswer(x, bytes => answered(x, session, bytes))
  return undefined
}

/** A client that never got the answer to `initialize` does not know its session's id: nobody would ever use or end it. */
function end(x: Exchange, outcome: Outcome): void {
  streamEnded(x)
  const session = begun.get(x)
  if (session && outcome.result !== 'answered') void x.core.sessions.end(session, 'failed')
}

/** An `initialize` that the child refuses makes no session. */
function answered(x: Exchange, session: Session, bytes: Buffer): void {
  const message = parseAnswer(bytes)
  if (message?.kind !== 'response') return
  if (message.isError) {
    x.reply.extra = []
    void x.core.sessions.end(session, 'failed')
  } else initialized(x, session, message)
}

/** A stdio client is one conversation with the child it has, whatever the era; only the legacy era calls it a session. */
function adopt(x: Exchange, connection: Connection): void {
  connection.session = x.core.sessions.adopt({
    principal: x.principal,
    leg: connection.leg,
    initialize: x.message!.bytes.toString()
  })
}

/** The answer to `initialize` names the revision that was negotiated. */
function readVersion(x: Exchange, session: Session): void {
  onAnswer(x, bytes => {
    const message = parseAnswer(bytes)
    if (message) initialized(x, session, message)
  })
}

function onPipe(x: Exchange): Verdict {
  const connection = x.connection!
  if (x.transport === 'sse' && x.era === 'modern')
    return refuse('invalid_request', `Revision ${x.version} has no HTTP+SSE transport: connect to the endpoint itself.`)
  const initialize = x.message?.method === 'initialize'
  if (initialize && !connection.session) adopt(x, connection)
  x.session = connection.session
  if (initialize && x.session) readVersion(x, x.session)
  if (x.session) x.core.sessions.touch(x.session)
  return checkBatch(x)
}

function head(x: Exchange, head: ReplyHead): void | Promise<void> {
  const upstreamId = getHeader(head.headers, SESSION_HEADER)
  if (x.era === 'modern') return removeHeader(head.headers, SESSION_HEADER)
  if (x.message?.method === 'initialize' && head.status < 300) x.core.target.assignsIds = upstreamId !== undefined
  const session = x.session
  if (session) {
    // An `initialize` that is refused by a status makes no session.
    if (head.status >= 300 && begun.get(x)?.channel) return refusedStart(x, session)
    if (upstreamId !== undefined) setHeader(head.headers, 'Mcp-Session-Id', session.id)
    return settle(x, session, head)
  }
  if (upstreamId !== undefined) return assigned(x, head, upstreamId)
}

function refusedStart(x: Exchange, session: Session): void {
  x.reply.extra = []
  void x.core.sessions.end(session, 'failed')
}

/** What an answer says about the session it belongs to. */
function settle(x: Exchange, session: Session, head: ReplyHead): void | Promise<void> {
  const sessions = x.core.sessions
  if (x.kind === 'terminate') {
    // 405: this server does not let clients end sessions, so it goes on.
    const ended = head.status < 300 || head.status === 404 ? sessions.terminate(session) : undefined
    // Other instances are to know before the client does.
    if (x.core.handOver) return ended
  } else if (x.lost) endLost(x, session, 'the server no longer knows it')
  return x.kind === 'listen' && x.peer === undefined ? streamOpened(x, session, head) : undefined
}

/** The server assigned an id with its answer to `initialize`: the client gets ours in its place. */
function assigned(x: Exchange, head: ReplyHead, upstreamId: string): void | Promise<void> {
  if (x.message?.method !== 'initialize' || head.status >= 300) return removeHeader(head.headers, SESSION_HEADER)
  const leg = x.core.target.resume(upstreamId, head.member)!
  const abort = (error: unknown): never => {
    // The server made a session that no client will ever name: it is ended there as well.
    void leg.close()
    throw error
  }
  const made = (session: Session): void => {
    if (x.ended) {
      void x.core.sessions.end(session, 'failed')
      return
    }
    // Who loses a stream can take it up again with the session's id, which came in its head.
    if (head.type !== 'sse') begun.set(x, session)
    setHeader(head.headers, 'Mcp-Session-Id', session.id)
    x.session = session
    readVersion(x, session)
  }
  try {
    const session = x.core.sessions.start({
      principal: x.principal,
      leg,
      initialize: x.message.bytes.toString(),
      handle: x.handle
    })
    return session instanceof Promise ? session.then(made, abort) : made(session)
  } catch (error) {
    return abort(error)
  }
}

/** The server might go by the other one. */
function saidTwice(name: string, code: 'invalid_request' | 'header_mismatch' = 'invalid_request'): Answer {
  return refuse(code, `${name} has two different values: send it once.`)
}

function methodNotAllowed(allow: string): Answer {
  const error = new CatflapError('method_not_allowed')
  const headers = ['Content-Type', 'application/json', 'Allow', allow]
  return { http: { status: error.status, headers, body: error.toJsonRpc() } }
}

function refuse(code: ConstructorParameters<typeof CatflapError>[0], message?: string): Answer {
  return { error: new CatflapError(code, message) }
}
