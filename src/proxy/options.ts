/**
 * Every limit and timeout, once: what the library checks, the command line shows and docs/options.md lists (a test compares).
 */
interface Setting {
  readonly unit: 'ms' | 'bytes' | 'count'
  readonly value: number
  readonly help: string
  /** 0 turns it off. */
  readonly zero?: true
}

const MiB = 1024 * 1024

export const SETTINGS = {
  maxConnections: { unit: 'count', value: 10_000, help: 'client connections at once; more get 503' },
  maxSessions: { unit: 'count', value: 10_000, help: 'sessions at once; one more initialize gets 503' },
  maxExchanges: { unit: 'count', value: 10_000, help: 'requests in flight at once; more get 503' },
  maxStreams: { unit: 'count', value: 10_000, help: 'open GET streams and subscriptions at once; more get 503' },
  maxBody: { unit: 'bytes', value: 16 * MiB, help: "a client's message; a larger one gets 413 (stdio: an error)" },
  maxMessage: {
    unit: 'bytes',
    value: 64 * MiB,
    help: 'a message of the server that has to be held whole (stdio line, SSE event)'
  },
  maxHeaderSize: { unit: 'bytes', value: 32 * 1024, help: "a request's headers; larger ones get 431" },
  maxUpstreamConnections: { unit: 'count', value: 256, help: 'connections to the server for calls' },
  maxPending: { unit: 'count', value: 1024, help: 'calls that wait for such a connection; more get 503' },
  maxExchangeQueue: {
    unit: 'bytes',
    value: 64 * MiB,
    help: 'what may wait for one slow client of a stdio server; more fails its request'
  },
  maxMailbox: {
    unit: 'count',
    value: 256,
    help: 'messages of the server that wait for a stream; more drop the oldest'
  },
  mailboxTtl: {
    unit: 'ms',
    value: 30_000,
    help: 'how long such a message waits; a request is then answered with an error'
  },
  maxServerRequests: {
    unit: 'count',
    value: 256,
    help: "a server's unanswered requests in one session; more are answered with an error"
  },
  requestTimeout: {
    unit: 'ms',
    value: 300_000,
    zero: true,
    help: "wait for the server's answer, restarted by progress; then 504"
  },
  maxRequestTime: { unit: 'ms', value: 3_600_000, zero: true, help: 'the same, whatever progress there is' },
  connectTimeout: { unit: 'ms', value: 10_000, help: 'wait for a connection to the server; then 504' },
  headersTimeout: {
    unit: 'ms',
    value: 0,
    zero: true,
    help: "wait for the server's status line; 0: as long as the request may take"
  },
  upstreamIdleTimeout: {
    unit: 'ms',
    value: 4_000,
    help: 'an unused connection to the server is closed after this (a server may ask for less)'
  },
  clientTimeout: { unit: 'ms', value: 60_000, help: 'wait for a client to send its whole request; then 408' },
  sessionIdle: { unit: 'ms', value: 1_800_000, help: 'a session ends when nothing happened in it for so long' },
  sessionMax: { unit: 'ms', value: 86_400_000, help: 'a session ends at this age' },
  probeTimeout: {
    unit: 'ms',
    value: 10_000,
    help: 'wait for what a stdio server says when it is asked for its revisions'
  },
  maxLogChildren: {
    unit: 'count',
    value: 16,
    help: 'children for requests that ask for logs (2026-07-28), one each, at once; more get 503'
  },
  childIdle: {
    unit: 'ms',
    value: 600_000,
    zero: true,
    help: 'a process that several clients share (2026-07-28) ends when nobody used it for so long'
  },
  logChildIdle: { unit: 'ms', value: 60_000, help: 'how long one child waits for the next such request' },
  keepAlive: { unit: 'ms', value: 25_000, zero: true, help: 'silence on a stream after which a comment is written' },
  streamAfter: { unit: 'ms', value: 3_000, help: 'silence of a stdio server after which the answer becomes a stream' },
  cancelGrace: { unit: 'ms', value: 5_000, help: 'wait for the answer to a request that its client has cancelled' },
  drainTimeout: { unit: 'ms', value: 10_000, zero: true, help: 'wait for requests in flight when catflap stops' },
  killAfter: {
    unit: 'ms',
    value: 2_000,
    help: 'wait for a child after its input is closed, then SIGTERM; as long again, then SIGKILL'
  }
} as const satisfies Record<string, Setting>

export type SettingName = keyof typeof SETTINGS
export type Settings = Readonly<Record<SettingName, number>>

/** Defaults, with what was given in their place. Throws a TypeError that names option, value and what is allowed. */
export function settings(given: Partial<Record<SettingName, number>> = {}): Settings {
  const out: Record<string, number> = {}
  for (const [name, setting] of Object.entries(SETTINGS) as [SettingName, Setting][]) {
    const value = given[name] ?? setting.value
    const min = setting.zero ? 0 : 1
    if (!Number.isSafeInteger(value) || value < min || (setting.unit === 'ms' && value > MAX_DURATION))
      throw new TypeError(
        `${name}: ${value} is not allowed; give a whole number of ${UNITS[setting.unit]} from ${min}${setting.unit === 'ms' ? ` to ${MAX_DURATION}` : ''}`
      )
    out[name] = value
  }
  return out as Settings
}

/** Milliseconds; what a timer of Node can wait. */
export const MAX_DURATION = 2 ** 31 - 1
const UNITS = { ms: 'milliseconds', bytes: 'bytes', count: 'items' } as const

/** `250ms`, `30s`, `5m`, `2h`; a bare number means seconds. Throws. */
export function parseDuration(text: string): number {
  const m = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text.trim())
  if (!m) throw new TypeError(`'${text}' is no duration; write 250ms, 30s, 5m or 2h`)
  return Math.round(Number(m[1]) * { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[(m[2] ?? 's') as 'ms' | 's' | 'm' | 'h'])
}

/** `4096`, `64k`, `16M`, `1G` (powers of 1024; `KiB` and the like too). Throws. */
export function parseSize(text: string): number {
  const m = /^(\d+(?:\.\d+)?)\s*([kmg])?(?:i?b)?$/i.exec(text.trim())
  if (!m) throw new TypeError(`'${text}' is no size; write 4096, 64k, 16M or 1G`)
  return Math.round(
    Number(m[1]) * { '': 1, k: 1024, m: MiB, g: 1024 * MiB }[(m[2] ?? '').toLowerCase() as '' | 'k' | 'm' | 'g']
  )
}
