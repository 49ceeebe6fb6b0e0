import { FIRST_MODERN_VERSION } from '../protocol/versions.ts'
import { discoverHeaders, discoverRequest, refusedVersions } from '../transport/upstream/detect-probes.ts'
import { HttpUpstream } from '../transport/upstream/http.ts'
import { ReplyReader } from '../transport/upstream/reply-reader.ts'
import type { CallInput, UpstreamCall } from '../transport/upstream.ts'
import type { HealthProbe } from './health-check.ts'
import { SessionProbe } from './health-session.ts'
import type { CheckSettings } from './health-settings.ts'
import { HttpTarget } from './http-target.ts'
import type { Settings } from './options.ts'
import type { UrlTarget } from './target.ts'

/** A check asks for little; bytes of an answer that are read. */
const MAX_ANSWER = 1024 * 1024
/** Of a page whose status is all that counts. */
const MAX_PAGE = 64 * 1024

/** What a server is asked. On connections of its own, so that a check never waits behind calls, nor they behind it. */
export function probeOf(
  check: CheckSettings,
  url: UrlTarget,
  settings: Settings,
  scrub?: (text: string) => string
): HealthProbe {
  if (check.kind === 'session') {
    const small = { ...settings, maxMessage: MAX_ANSWER, maxUpstreamConnections: 2 }
    return new SessionProbe(new HttpTarget('check', url, small, { scrub }))
  }
  const upstream = new HttpUpstream(new URL(url.url), {
    headers: url.headers ?? [],
    connections: 1,
    maxPending: 1,
    connectTimeout: settings.connectTimeout,
    headersTimeout: settings.headersTimeout,
    keepAliveTimeout: settings.upstreamIdleTimeout,
    closeTimeout: check.timeout,
    ca: url.ca,
    insecure: url.insecure
  })
  const ask = check.kind === 'http' ? getsPage(upstream, check.path) : discovers(upstream)
  return { ask: signal => untilAborted(signal, ask), close: () => upstream.close() }
}

/** Begins to ask, and tells `done` why the server is not up; what it returns is cancelled once that is known. */
type Ask = (done: (why: string | undefined) => void) => { cancel(): void }

function untilAborted(signal: AbortSignal, ask: Ask): Promise<string | undefined> {
  return new Promise(resolve => {
    const late = (): void => done('no answer')
    const done = (why: string | undefined): void => {
      signal.removeEventListener('abort', late)
      resolve(why)
      asked?.cancel()
    }
    signal.addEventListener('abort', late)
    const asked: ReturnType<Ask> | undefined = ask(done)
    if (signal.aborted) late()
  })
}

function getsPage(upstream: HttpUpstream, path: string): Ask {
  const input: CallInput = {
    kind: 'listen',
    era: 'legacy',
    message: undefined,
    batch: undefined,
    body: undefined,
    headers: ['Accept', '*/*']
  }
  return done => {
    let why: string | undefined = 'no answer'
    let size = 0
    const call: UpstreamCall = upstream.call(
      input,
      {
        onHead({ status }) {
          why = status >= 200 && status < 400 ? undefined : `GET ${path} was answered with status ${status}`
        },
        onData(chunk) {
          size += chunk.length
          if (size > MAX_PAGE) done(why)
        },
        onMessage() {},
        onEnd: () => done(why),
        onError: error => done(error.message)
      },
      path
    )
    return { cancel: () => call.cancel('shutdown') }
  }
}

function discovers(upstream: HttpUpstream): Ask {
  return done => {
    const message = discoverRequest()
    const headers = discoverHeaders(message, [])
    const input = { kind: 'request', era: 'modern', message, batch: undefined, body: message.bytes, headers } as const
    const reader = new ReplyReader(
      {
        leg: upstream.sessionless,
        input,
        label: upstream.label,
        maxMessage: MAX_ANSWER,
        cursor: { lastEventId: undefined, retry: undefined, events: 0 },
        done() {}
      },
      {
        head() {},
        noise() {},
        message(m) {
          if (m.kind === 'response') done(m.isError ? 'server/discover was answered with an error' : undefined)
        },
        end(end) {
          if (end.how === 'failed') return done(end.error.message)
          if (end.how !== 'refused') return done('server/discover was not answered')
          // A server of other modern revisions says which, and is up.
          const up = refusedVersions(end) !== undefined
          done(up ? undefined : `server/discover (${FIRST_MODERN_VERSION}) was answered with status ${end.head.status}`)
        }
      }
    )
    reader.start()
    return { cancel: () => reader.cancel('shutdown') }
  }
}
