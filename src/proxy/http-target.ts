import type { CatflapError } from '../errors.ts'
import type { Era } from '../protocol/versions.ts'
import { Breaker } from '../transport/upstream/breaker.ts'
import { knowsNothing, probing, type Refusal } from '../transport/upstream/detect.ts'
import { serverProbes } from '../transport/upstream/detect-probes.ts'
import { HttpUpstream } from '../transport/upstream/http.ts'
import { HttpClientLeg } from '../transport/upstream/http-client.ts'
import type { ClientUpstream } from '../transport/upstream/http-client-wire.ts'
import type { Peers } from '../transport/upstream/peers.ts'
import { RetryBudget } from '../transport/upstream/retry-budget.ts'
import { SseLeg } from '../transport/upstream/sse.ts'
import { UrlLeg } from '../transport/upstream/url-leg.ts'
import type { CallInput, HttpWatch, Leg, LegEvents } from '../transport/upstream.ts'
import type { MemberHealth, Target, TargetStats } from './core.ts'
import type { HealthChecker } from './health-check.ts'
import type { HealthSettings } from './health-settings.ts'
import type { Settings } from './options.ts'
import type { HealthChange, OpenTarget, UrlTarget } from './target.ts'

/** How long a server may take to answer the DELETE that ends a session. */
const CLOSE_TIMEOUT = 3_000
/** A server that did not speak HTTP+SSE is not asked again for so long, in ms: a client may try a hundred times a second. */
const ASK_AGAIN = 1_000
/** One client on a pipe gets no more than this part of the connections. */
const SHARES = 4

export interface HttpTargetParts extends Pick<OpenTarget, 'via' | 'scrub'> {
  /** Undefined: it is asked whatever its state. */
  readonly health?: HealthSettings
  readonly onHealth?: (change: HealthChange) => void
  /** Where it is one of several. */
  readonly group?: { readonly member: string; readonly peers: Peers; readonly retries: RetryBudget }
}

/**
 * A server behind a URL: on Streamable HTTP, or on the older HTTP+SSE, where answers come on one stream. Which it is shows at
 * the first `initialize` (spec 2025-11-25 basic/transports, "Backwards Compatibility").
 */
export class HttpTarget implements Target {
  readonly name: string
  readonly era: Era | undefined
  /** Whether it is to be asked; undefined: always. */
  readonly breaker: Breaker | undefined
  readonly health: (() => readonly MemberHealth[]) | undefined
  assignsIds?: boolean
  readonly #upstream: HttpUpstream
  readonly #settings: Settings
  readonly #scrub: OpenTarget['scrub']
  /** The user has said what it speaks. */
  readonly #forced: boolean
  readonly #front: Leg
  #sse: boolean
  #askAt = 0
  /** An `initialize` was accepted over Streamable HTTP: what is refused from now on is refused for what it says, or a new server is there. */
  #streamable = false
  #checker: HealthChecker | undefined

  constructor(name: string, options: UrlTarget, settings: Settings, parts: HttpTargetParts) {
    const { via, scrub, health, onHealth, group } = parts
    this.#scrub = scrub
    this.name = name
    const url = new URL(options.url)
    if (url.protocol !== 'http:' && url.protocol !== 'https:')
      throw new TypeError(`target: '${url.protocol}' is not supported; give an http: or https: URL`)
    const { transport = 'auto', era = 'auto' } = options
    this.era = era === 'auto' ? undefined : era
    this.#forced = transport !== 'auto'
    this.#sse = transport === 'sse'
    this.#settings = settings
    if (health)
      this.breaker = new Breaker({
        ...health,
        peers: group?.peers,
        onChange: change => onHealth?.({ ...change, member: group?.member ?? name, label: this.label })
      })
    if (this.breaker) this.health = () => [this.#health(group?.member ?? name)]
    this.#upstream = new HttpUpstream(url, {
      headers: options.headers ?? [],
      via,
      scrub,
      connections: settings.maxUpstreamConnections,
      maxPending: settings.maxPending,
      connectTimeout: settings.connectTimeout,
      headersTimeout: settings.headersTimeout,
      keepAliveTimeout: settings.upstreamIdleTimeout,
      closeTimeout: CLOSE_TIMEOUT,
      member: group?.member,
      breaker: this.breaker,
      retries: group?.retries ?? new RetryBudget(),
      ca: options.ca,
      insecure: options.insecure
    })
    this.#front = this.#forced ? this.#upstream.sessionless : this.#probingLeg()
  }

  get kind(): 'http' | 'sse' {
    return this.#sse ? 'sse' : 'http'
  }

  get label(): string {
    return this.#upstream.label
  }

  /** Without user name and password. */
  get url(): URL {
    return this.#upstream.url
  }

  get sessionless(): Leg | undefined {
    return this.#sse ? undefined : this.#front
  }

  open(events: LegEvents, from?: Pick<CallInput, 'headers' | 'query'>): Leg {
    if (this.#sse) return this.#sseLeg(events, from)
    const upstream = { label: this.label, sessionless: this.#front, sessionLeg: this.sessionLeg.bind(this) }
    const leg = clientLeg(upstream, this.#settings, { events, scrub: this.#scrub, alone: from === undefined })
    if (this.#forced) return leg
    return new UrlLeg(leg, () => {
      events.again?.('other_transport')
      return this.#sseLeg(events, from)
    })
  }

  resume(upstreamId: string): Leg {
    return this.#upstream.sessionLeg(upstreamId)
  }

  sessionLeg(upstreamId: string, watch: HttpWatch | undefined): Leg {
    return this.#upstream.sessionLeg(upstreamId, watch)
  }

  /** It is asked again and again whether it is up. The checker is closed with the target. */
  checkedBy(checker: HealthChecker): void {
    this.#checker = checker
    checker.start(down => this.breaker?.checked(down))
  }

  stats(): TargetStats {
    return { queued: this.#upstream.queue.waiting, pools: this.#upstream.pools.counts() }
  }

  async close(): Promise<void> {
    await Promise.all([this.#checker?.close(), this.#upstream.close()])
  }

  #health(member: string): MemberHealth {
    const { state, reason, inFlight, until } = this.breaker!
    return { member, label: this.label, state, reason, inFlight, until }
  }

  #sseLeg(events: LegEvents, from: Pick<CallInput, 'headers' | 'query'> | undefined): Leg {
    const { connectTimeout, maxMessage: maxLine, maxExchangeQueue: maxInput } = this.#settings
    const options = { connectTimeout, maxLine, maxInput, headers: from?.headers, query: from?.query }
    return new SseLeg(this.#upstream, options, {
      ...events,
      lost: (error, facts) => {
        // What was found out once may have changed: the next client finds out anew.
        if (!this.#forced && facts.expected !== 1 && speaksOtherwise(error)) this.#sse = false
        events.lost(error, facts)
      }
    })
  }

  /** What is not known yet is found out on the way. */
  #probingLeg(): Leg {
    const inner = this.#upstream.sessionless
    return {
      upstreamId: undefined,
      close: headers => inner.close(headers),
      call: (input, receiver) => {
        if (input.message?.method !== 'initialize') return inner.call(input, receiver)
        const probes = serverProbes(this.#upstream, input, {
          connectTimeout: this.#settings.connectTimeout,
          found: () => {
            this.#sse = true
            this.#streamable = false
          },
          accepted: () => {
            this.#streamable = true
          }
        })
        return probing(inner, input, receiver, {
          ...probes,
          getEndpoint: (signal, refused) => this.#ask(signal, refused, probes)
        })
      }
    }
  }

  async #ask(signal: AbortSignal, refused: Refusal, probes: ReturnType<typeof serverProbes>): Promise<boolean> {
    const known = this.#streamable
    if (known && !knowsNothing(refused)) return false
    if (performance.now() < this.#askAt) return false
    const found = await probes.getEndpoint(signal)
    // A client that left meanwhile has found out nothing.
    if (!found && !signal.aborted) this.#askAt = performance.now() + ASK_AGAIN
    // Another client may have been accepted meanwhile.
    return found && this.#streamable === known
  }
}

/** The leg of one client on a pipe. `alone`: there are no others that need connections. */
export function clientLeg(
  upstream: ClientUpstream,
  settings: Settings,
  { events, scrub, alone }: { readonly events: LegEvents; readonly scrub: OpenTarget['scrub']; readonly alone: boolean }
): HttpClientLeg {
  const { maxMessage, maxExchangeQueue: maxWaiting, maxUpstreamConnections, maxPending } = settings
  // A client on stdio is alone; of several over HTTP+SSE none may take all connections for itself.
  const maxCalls = Math.ceil(maxUpstreamConnections / (alone ? 1 : SHARES))
  return new HttpClientLeg({ upstream, maxMessage, maxWaiting, maxCalls, maxPending, scrub }, events)
}

/** The GET of HTTP+SSE was answered by something that is no such server (any more). */
function speaksOtherwise({ code, data }: CatflapError): boolean {
  return code === 'upstream_protocol' || (code === 'upstream_status' && REFUSALS.has(data?.status))
}

const REFUSALS: ReadonlySet<unknown> = new Set([400, 404, 405, 406])
