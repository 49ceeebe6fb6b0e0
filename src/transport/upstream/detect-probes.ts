import { standardHeaders } from '../../protocol/header-rules.ts'
import { EVENT_ID_HEADER, removeHeader, SESSION_HEADER, setHeader } from '../../protocol/headers.ts'
import { Message } from '../../protocol/message.ts'
import { versionsIn } from '../../protocol/named-versions.ts'
import { FIRST_MODERN_VERSION, META_VERSION } from '../../protocol/versions.ts'
import { VERSION } from '../../version.ts'
import type { CallInput } from '../upstream.ts'
import type { Probes } from './detect.ts'
import type { HttpUpstream } from './http.ts'
import { errorIn } from './http-client-refusal.ts'
import { type ReplyEnd, ReplyReader } from './reply-reader.ts'
import { EventStream } from './sse-stream.ts'

/** How long `server/discover` may take, in ms. */
const DISCOVER_WAIT = 5_000
/** A stream of HTTP+SSE begins with its endpoint: one that stands and says nothing for so long, in ms, is another. */
const ENDPOINT_WAIT = 2_000
/** Bytes of the event that names an endpoint, and of an answer to `server/discover`. */
const MAX_EVENT = 16 * 1024
const MAX_DISCOVERY = 1024 * 1024

export interface ProbeOptions {
  /** In ms. */
  readonly connectTimeout: number
  readonly found: () => void
  readonly accepted?: () => void
  /** catflap says something to the server on its own account. */
  readonly own?: (message: Message) => void
}

/** Probes of this server, with the credentials of the client whose `initialize` was refused. */
export function serverProbes(
  upstream: HttpUpstream,
  refused: CallInput,
  options: ProbeOptions
): Probes & { getEndpoint(signal: AbortSignal): Promise<boolean> } {
  return {
    getEndpoint: signal => namesEndpoint(upstream, refused, options.connectTimeout, signal),
    discover: signal => discover(upstream, refused, options.own, signal),
    found: options.found,
    accepted: options.accepted
  }
}

function namesEndpoint(
  upstream: HttpUpstream,
  { headers, query, watch }: CallInput,
  timeout: number,
  signal: AbortSignal
): Promise<boolean> {
  return new Promise(resolve => {
    const done = (found: boolean): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', no)
      stream.close()
      resolve(found)
    }
    const no = (): void => done(false)
    let timer = setTimeout(no, timeout)
    signal.addEventListener('abort', no)
    const stream = new EventStream(
      upstream,
      { headers, query, watch, maxData: MAX_EVENT },
      {
        opened() {
          clearTimeout(timer)
          timer = setTimeout(no, Math.min(timeout, ENDPOINT_WAIT))
        },
        // Comments and the like come before anything is said.
        event: ({ event, data }) => data !== undefined && done(event === 'endpoint'),
        oversize: no,
        ended: no
      }
    )
  })
}

function discover(
  upstream: HttpUpstream,
  refused: CallInput,
  own: ProbeOptions['own'],
  signal: AbortSignal
): Promise<readonly string[] | undefined> {
  const message = discoverRequest()
  const headers = discoverHeaders(message, refused.headers)
  const { query, watch } = refused
  const input: CallInput = {
    kind: 'request',
    era: 'modern',
    message,
    batch: undefined,
    body: message.bytes,
    query,
    headers,
    watch
  }
  own?.(message)
  return askVersions(upstream, input, signal)
}

function askVersions(
  upstream: HttpUpstream,
  input: CallInput,
  signal: AbortSignal
): Promise<readonly string[] | undefined> {
  return new Promise(resolve => {
    const done = (versions?: readonly string[]): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', none)
      reader.cancel()
      resolve(versions)
    }
    const none = (): void => done()
    const timer = setTimeout(none, DISCOVER_WAIT)
    signal.addEventListener('abort', none)
    const reader = new ReplyReader(
      {
        leg: upstream.sessionless,
        input,
        label: upstream.label,
        maxMessage: MAX_DISCOVERY,
        cursor: { lastEventId: undefined, retry: undefined, events: 0 },
        done() {}
      },
      {
        head() {},
        noise() {},
        message: m => m.kind === 'response' && done(versionsIn(m)),
        end: end => done(refusedVersions(end))
      }
    )
    reader.start()
  })
}

/** With these of a client's beside what the message asks for. */
export function discoverHeaders(message: Message, from: readonly string[]): string[] {
  const headers = [...from]
  for (const name of [SESSION_HEADER, EVENT_ID_HEADER]) removeHeader(headers, name)
  const set = [...standardHeaders(message), 'Content-Type', 'application/json']
  set.push('Accept', 'application/json, text/event-stream')
  for (let i = 0; i < set.length; i += 2) setHeader(headers, set[i]!, set[i + 1]!)
  return headers
}

export function discoverRequest(): Message {
  const _meta = {
    [META_VERSION]: FIRST_MODERN_VERSION,
    'io.modelcontextprotocol/clientInfo': { name: 'catflap', version: VERSION },
    'io.modelcontextprotocol/clientCapabilities': {}
  }
  return Message.from({ jsonrpc: '2.0', id: 'catflap-discover', method: 'server/discover', params: { _meta } })
}

/** A server that does not speak the first modern revision says in its refusal what it does speak. */
export function refusedVersions(end: ReplyEnd): readonly string[] | undefined {
  const error = end.how === 'refused' ? errorIn(end.body) : undefined
  return error && versionsIn(error)
}
