import { CatflapError, type ErrorCode } from '../errors.ts'
import { contradiction, missingHeader, paramMismatch } from '../protocol/header-rules.ts'
import type { Message } from '../protocol/message.ts'
import { argumentAt } from '../protocol/tool-headers.ts'
import { META_VERSION } from '../protocol/versions.ts'
import type { Core } from '../proxy/core.ts'
import type { Exchange } from '../proxy/exchange.ts'
import { type Answer, type Interceptor, Slot } from '../proxy/interceptor.ts'
import { holdBack, legObserver } from '../proxy/session-leg.ts'
import { Brake } from '../transport/brake.ts'
import type { HttpReply } from '../transport/downstream/http-reply.ts'
import type { Verdict } from '../transport/upstream/shared-child-probe.ts'
import { WithStatus } from '../transport/upstream/shared-child-status.ts'
import type { SharedServer, SharedServerEvents } from '../transport/upstream/shared-server.ts'
import type { Leg } from '../transport/upstream.ts'

/**
 * What an HTTP server of revision 2026-07-28 owes its clients, where a pipe is behind us: that it judges headers against
 * messages, and tells by a status what a pipe can only say in words (basic/transports/streamable-http). The order of the
 * checks is that of the official SDK's server, so that clients see the same.
 */
export function modernRules(): Interceptor {
  return { name: 'modern-rules', request }
}

const CAPABILITIES = 'io.modelcontextprotocol/clientCapabilities'
const LOG_LEVEL = 'io.modelcontextprotocol/logLevel'

/** The server that an exchange goes to, and what it is known to speak. */
const reached = new Slot<{ readonly shared: SharedServer; readonly versions: readonly string[] | undefined }>()

/**
 * Puts the leg of a modern request over HTTP to a command or a tape on the exchange, or answers in the place of a server of the legacy
 * era: clients that know both eras then go on with `initialize`. Undefined for a URL.
 */
export function sharedLeg(x: Exchange): Answer | undefined | Promise<Answer | undefined> {
  const shared = x.core.target.shared?.(() => eventsOf(x.core))
  if (!shared) return undefined
  const verdict = shared.ready()
  if (!(verdict instanceof Promise)) return judged(x, shared, verdict)
  return verdict.then(v => (x.ended ? undefined : judged(x, shared, v)))
}

/** The same for an exchange that is past these rules, and was to be carried out elsewhere. */
export async function judgedAgain(x: Exchange): Promise<Answer | undefined> {
  return (await sharedLeg(x)) ?? (x.ended ? undefined : request(x))
}

/** The leg of clients of the legacy era without a session, where a tape has what such clients were told. */
export function unbegunLeg({ core }: Exchange): Leg | undefined {
  if (core.target.kind !== 'tape') return undefined
  return core.target.shared?.(() => eventsOf(core))?.unbegun?.()
}

function judged(x: Exchange, shared: SharedServer, verdict: Verdict): Answer | undefined {
  if (verdict.era === 'legacy') return asLegacyServer(x, verdict)
  reached.set(x, { shared, versions: verdict.versions })
  const leg = wantsLogs(x.message) ? shared.exclusive() : shared.leg(clientKey(x))
  const reply = x.reply as HttpReply
  // Hooks may hold the answer for long: silence must not make it a stream meanwhile.
  x.leg = new WithStatus(leg, shared.tools, () => x.answer.waiting === 0 && reply.settle())
  return undefined
}

/** Its own words where it has said any: some clients look at them. */
function asLegacyServer(x: Exchange, verdict: Verdict & { readonly era: 'legacy' }): Answer {
  const { message } = x
  if (verdict.error && message?.method === 'server/discover' && message.idText !== undefined) {
    const body = verdict.error.withId(message.idText).bytes
    return { http: { status: 400, headers: ['Content-Type', 'application/json'], body } }
  }
  const requested = message?.metaVersion
  if (verdict.versions && requested !== undefined && message?.method !== 'server/discover')
    return { error: otherVersion(requested, verdict.versions) }
  const text = `${verdict.reason} Send initialize, as clients of an earlier revision do.`
  return { error: new CatflapError('pairing_unsupported', text, { data: { target: x.core.target.label } }) }
}

/** Who waits behind whom while the server does not read. What a client says of itself does not count: it could say anything. */
function clientKey(x: Exchange): string {
  return `${x.principal} ${x.client?.remoteAddress}`
}

/** Logs name no request (spec 2026-07-28 server/utilities/logging), so who asks for them gets a child alone. A subscription has none. */
function wantsLogs(message: Message | undefined): boolean {
  if (message?.kind !== 'request' || message.method === 'subscriptions/listen') return false
  return metaOf(message)?.[LOG_LEVEL] !== undefined
}

function request(x: Exchange): Answer | undefined | Promise<Answer | undefined> {
  const place = reached.get(x)
  const { message } = x
  if (!place || !message) return undefined
  const headers = x.client!.headers
  if (message.kind === 'response')
    return refuse(
      'invalid_request',
      'In this revision clients send no responses: what a server asks is answered with the next request.'
    )
  if (message.kind === 'notification') {
    const wrong = contradiction(headers, message)
    if (wrong !== undefined) return refuse('header_mismatch', wrong)
    // Over HTTP a request is cancelled by closing its stream; ids are each client's own, so the server would take another's.
    if (message.method === 'notifications/cancelled') return { http: { status: 202, headers: [], body: undefined } }
    return undefined
  }
  const error = checkMeta(x, message) ?? checkHeaders(x, message, place.versions)
  if (error) return { error }
  if (message.method !== 'tools/call') return opened(x)
  return checkParams(x, place.shared, message)
}

/** Nobody holds a connection open on silence. */
function opened(x: Exchange): undefined {
  x.reply.openStream?.(true)
}

function checkMeta(x: Exchange, message: Message): CatflapError | undefined {
  const meta = metaOf(message)
  // A server that knows both eras would take its one pipe, and with it all clients, to the other.
  if (message.method === 'initialize') {
    const text = `Revision ${x.version} has no initialize.`
    return new CatflapError(message.metaVersion === undefined ? 'header_mismatch' : 'method_not_found', text)
  }
  const missing = [
    ...(message.metaVersion === undefined ? [META_VERSION] : []),
    ...(isObject(meta?.[CAPABILITIES]) ? [] : [CAPABILITIES])
  ]
  if (missing.length === 0) return undefined
  const what = meta ? missing.join(' and ') : '_meta'
  return new CatflapError('missing_meta', `The request lacks ${what}: every request of this revision carries it.`)
}

function checkHeaders(
  x: Exchange,
  message: Message,
  versions: readonly string[] | undefined
): CatflapError | undefined {
  const headers = x.client!.headers
  const differs = contradiction(headers, message)
  if (differs !== undefined) return new CatflapError('header_mismatch', differs)
  const requested = message.metaVersion!
  if (versions && !versions.includes(requested)) return otherVersion(requested, versions)
  const lacks = missingHeader(headers, message)
  return lacks === undefined ? undefined : new CatflapError('header_mismatch', lacks)
}

function otherVersion(requested: string, supported: readonly string[]): CatflapError {
  const text = `The server does not speak revision ${requested.slice(0, 40)}; it speaks ${supported.join(', ')}.`
  return new CatflapError('unsupported_modern_version', text, { data: { supported, requested } })
}

/**
 * `Mcp-Param-*` against the server's own list of tools. It is asked anew before a refusal, as tools can change. Where the server
 * does not list them, the last list counts, and what is in none is not judged.
 */
function checkParams(
  x: Exchange,
  shared: SharedServer,
  message: Message
): Answer | undefined | Promise<Answer | undefined> {
  const tools = shared.tools
  const name = message.name ?? ''
  const wrong = (): string | undefined => {
    const known = tools.known(name)
    if (!known || !('params' in known)) return undefined
    return paramMismatch(x.client!.headers, known.params, argumentAt(message.json, ['params', 'arguments']))
  }
  const judge = (): Answer | undefined => {
    if (x.ended) return undefined
    const text = wrong()
    return text === undefined ? opened(x) : refuse('header_mismatch', text)
  }
  const doubtful = tools.doubtful(name) || wrong() !== undefined
  return doubtful && tools.askable ? shared.refreshTools().then(judge) : judge()
}

function metaOf(message: Message | undefined): Readonly<Record<string, unknown>> | undefined {
  const meta = message && argumentAt(message.json, ['params', '_meta'])
  return isObject(meta) ? meta : undefined
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function refuse(code: ErrorCode, text: string): Answer {
  return { error: new CatflapError(code, text) }
}

/** What the children say that is no exchange's. */
function eventsOf(core: Core): SharedServerEvents {
  const observe = legObserver(
    core,
    () => undefined,
    () => 'pipe'
  )
  const shared = (): SharedServer | undefined => core.target.shared?.()
  const brake = new Brake(
    () => shared()?.pause(),
    () => shared()?.resume()
  )
  return {
    ...observe,
    speaking: () => holdBack(core, brake),
    unowned(message) {
      core.log.debug('unowned', `the server said ${message.method}, which names no request: it is dropped`)
      if (core.bus.active) {
        core.tap.loose(undefined, 'pipe', 'server', 'down', message)
        core.tap.note(undefined, 'dropped', `${message.method} names no request of any client`)
      }
    },
    lost(error, facts) {
      observe.lost(error, facts)
      if (facts.expected !== 1) core.log.warn('child-exit', error.message, facts)
    }
  }
}
