import type { Log } from '../log.ts'
import type { TapeTargetOptions } from '../replay/options.ts'
import type { ClusterOptions, SharedStoreOptions } from '../session/shared.ts'
import type { SessionStore } from '../session/store.ts'
import type { RecordOptions } from './forward.ts'
import type { Interceptor } from './interceptor.ts'
import type { MetricsOptions } from './metering.ts'
import type { SettingName } from './options.ts'
import type { CommandTarget, UrlTarget } from './target.ts'

/** One front for many servers: listeners where clients connect, and routes that lead to targets. */
export interface ReverseOptions {
  /** Default: one, at 127.0.0.1:7890. */
  readonly listeners?: readonly ListenerOptions[]
  /** By name (`[a-z0-9_-]`, at most 64 characters). */
  readonly routes: Readonly<Record<string, RouteOptions>>
  /** Addresses or networks (`10.0.0.0/8`) whose `Forwarded`, `X-Forwarded-*` and `Via` are believed. Default: none. */
  readonly trustedProxies?: readonly string[]
  /** Our name in Via and Forwarded; false: neither is added. Default `catflap`. */
  readonly via?: string | false
  /** Sessions of all routes in Redis, which other processes serve as well (docs/sessions.md). Default: in memory. */
  readonly sharedStore?: SharedStoreOptions
  /** The way between those processes, for what only one of them can do. */
  readonly cluster?: ClusterOptions
  readonly admin?: AdminOptions
  readonly accessLog?: AccessLogOptions
  /** Keep numbers (docs/observability.md). `true`: for `exportMetrics()` and the admin listener. Default: with `admin` only. */
  readonly metrics?: ReverseMetrics | boolean
  /** Offer the traffic to `catflap tail` of the same user. Default false. */
  readonly live?: boolean
  /** Texts to be kept off tapes, and out of what clients and operators are told, besides those in these options. */
  readonly secrets?: readonly string[]
  /** Wait for requests in flight when catflap stops, in ms. Default: the setting's. */
  readonly drainTimeout?: number
  /** Before that: not ready any more, but serving as ever, so that load balancers can see it, in ms. Default 0. */
  readonly drainGrace?: number
  readonly log?: Log
}

/** Where clients connect. */
export interface ListenerOptions {
  /** Default 127.0.0.1. Beyond loopback every route needs `tokens` or `allowUnauthenticated`, unless `tls.clientCa` is given. */
  readonly host?: string
  /** Default 0: any free one. */
  readonly port?: number
  readonly tls?: ListenerTls
  /** HTTP/2 beside HTTP/1.1: by ALPN over TLS, with prior knowledge on clear text. Default true. */
  readonly http2?: boolean
  /** Of the settings, those that are about connections. */
  readonly settings?: Partial<Record<ListenerSetting, number>>
}

export const LISTENER_SETTINGS = [
  'maxConnections',
  'maxHeaderSize',
  'clientTimeout',
  'keepAlive',
  'streamAfter'
] as const satisfies readonly SettingName[]
export type ListenerSetting = (typeof LISTENER_SETTINGS)[number]

/** PEM texts. */
export interface ListenerTls {
  readonly certificate: string
  readonly key: string
  /** Clients must present a certificate that one of these has signed (mTLS). */
  readonly clientCa?: string
}

export interface RouteOptions {
  /** Default `/NAME/mcp`. */
  readonly path?: string
  /** Only requests for this host come here. The host is then allowed without `allowHosts`. */
  readonly host?: string
  /** One or several URLs that answer alike, one command, or tapes in the place of a server. */
  readonly targets: readonly (UrlTarget & { readonly weight?: number })[] | CommandRoute | TapeTargetOptions
  /** How one of several targets is chosen. Default `round-robin`. */
  readonly balance?: 'round-robin' | 'least-in-flight'
  readonly health?: HealthOptions
  /** What becomes of a session that the server has lost. Default: `reinitialize` for URLs, else `propagate`. */
  readonly sessionLoss?: SessionLoss
  readonly headers?: { readonly request?: HeaderRules; readonly response?: HeaderRules }
  /** Clients must present one of them. */
  readonly tokens?: readonly string[]
  readonly allowUnauthenticated?: boolean
  readonly allowHosts?: readonly string[]
  readonly allowOrigins?: readonly string[]
  /** Limits and timeouts; docs/options.md lists them. */
  readonly settings?: Partial<Record<SettingName, number>>
  /** Paths that are not MCP and lead to the target all the same: exact, or all below with `/*` at the end. Default: none. */
  readonly passthrough?: readonly string[]
  readonly interceptors?: readonly Interceptor[]
  /** Default: in memory. Closed with the last route that uses it, however often options are changed. */
  readonly store?: SessionStore
  readonly record?: RecordOptions
  readonly redactHeaders?: readonly string[]
  readonly redactJson?: readonly string[]
}

export interface CommandRoute extends CommandTarget {
  /** Names of variables of catflap's own environment that the command gets besides the short list that all get. */
  readonly inheritEnv?: readonly string[]
  /** At once, for this route, with those of sessions that began before a reload has changed it. Default 64. */
  readonly maxChildren?: number
  /** Of one child, in bytes; Linux only. Default: none. */
  readonly maxMemory?: number
}

export type SessionLoss = 'reinitialize' | 'propagate'

/** Applied in this order: remove, set, add. Names are those of end-to-end headers. */
export interface HeaderRules {
  readonly remove?: readonly string[]
  readonly set?: Readonly<Record<string, string>>
  readonly add?: Readonly<Record<string, string>>
}

/** What keeps a target from being asked. Times in ms. */
export interface HealthOptions {
  /** Failures in a row after which a target is left out for a while. Default 5; 0: never. */
  readonly failures?: number
  /** For how long at first; each time in a row twice as long. Defaults 1 s and 60 s. */
  readonly ejection?: number
  readonly maxEjection?: number
  /** Asked again and again whether it is up. Default: none. */
  readonly check?: HealthCheck
}

export interface HealthCheck {
  /** An HTTP GET that answers 2xx or 3xx; `server/discover` (modern); or a session of the checker's own with `ping` (legacy). */
  readonly kind: 'http' | 'discover' | 'session'
  /** Of `http`: on the target's origin. Default `/`. */
  readonly path?: string
  /** Defaults 10 s and 3 s. */
  readonly interval?: number
  readonly timeout?: number
  /** In a row, until it counts. Defaults 3 failures, 1 success. */
  readonly unhealthyAfter?: number
  readonly healthyAfter?: number
}

/** Where operators ask and act. Always with a token. */
export interface AdminOptions {
  /** Default 127.0.0.1. */
  readonly host?: string
  /** Default 0: any free one. */
  readonly port?: number
  /** Default: one is made up, which `Reverse.adminToken` tells. */
  readonly token?: string
  /** Names, besides those of this machine, under which it may be asked; `*`: any. */
  readonly allowHosts?: readonly string[]
}

/** Metrics on an address of their own, where `port` is given. Beyond loopback they need `tokens` or `allowUnauthenticated`. */
export interface ReverseMetrics extends MetricsOptions {
  readonly tokens?: readonly string[]
  readonly allowUnauthenticated?: boolean
  readonly allowHosts?: readonly string[]
}

/** A line for each exchange. */
export interface AccessLogOptions {
  readonly format?: 'text' | 'json'
  /** Takes whole lines; a promise says when it has room for more. */
  readonly write: (lines: string) => unknown
  /** Takes secrets out of each name that is repeated in a line. Default: those of the route. */
  readonly scrub?: (text: string) => string
}
