/** How much of everything: a run that counts, one to look at while working, and one that only shows that all of it works. */

export interface Plan {
  readonly name: 'full' | 'quick' | 'smoke'
  readonly rounds: number
  /** How long one load lasts, and how long before it does not count. */
  readonly ms: number
  readonly warm: number
  readonly connections: number
  /** Requests a second of the scenarios with fixed rates. */
  readonly rates: readonly number[]
  readonly sessions: number
  readonly idle: number
  /** Between two looks at resident memory, until it has stopped falling, in ms. */
  readonly settle: number
  /** Bytes of the results that are large. */
  readonly largeResult: number
  readonly largestResult: number
  readonly flood: number
  /** Bytes of the tape that is searched. */
  readonly tape: number
  readonly growth: {
    readonly ms: number
    readonly sessions: readonly number[]
    readonly sizes: readonly number[]
  }
  /** One step of one peer (to start, to get warm, a round) takes no longer, in ms; then it has failed. */
  readonly patience: number
  /** Nothing takes longer, in ms; then all is ended. */
  readonly atMost: number
}

const KB = 1024
const MB = 1024 * KB
const MINUTE = 60_000

export const FULL: Plan = {
  name: 'full',
  rounds: 5,
  ms: 3_000,
  warm: 1_500,
  connections: 32,
  rates: [1_000, 4_000],
  sessions: 1_000,
  idle: 4_000,
  settle: 300,
  largeResult: 8 * MB,
  largestResult: 256 * MB,
  flood: 200 * MB,
  tape: 1e9,
  growth: {
    ms: 1_500,
    sessions: [1, 10, 100, 1_000, 10_000],
    sizes: [256, 4 * KB, 64 * KB, MB, 8 * MB]
  },
  patience: 3 * MINUTE,
  atMost: 120 * MINUTE
}

export const QUICK: Plan = {
  ...FULL,
  name: 'quick',
  rounds: 1,
  ms: 300,
  warm: 200,
  rates: [1_000],
  sessions: 200,
  idle: 500,
  settle: 200,
  largestResult: 64 * MB,
  flood: 24 * MB,
  tape: 100e6,
  growth: { ms: 200, sessions: [1, 100, 2_000], sizes: [256, 64 * KB, MB] },
  patience: MINUTE,
  atMost: 5 * MINUTE
}

export const SMOKE: Plan = {
  ...QUICK,
  name: 'smoke',
  ms: 100,
  warm: 0,
  connections: 4,
  rates: [1_000],
  sessions: 20,
  idle: 20,
  settle: 30,
  largeResult: MB,
  largestResult: 4 * MB,
  flood: 4 * MB,
  tape: 4e6,
  growth: { ms: 100, sessions: [1, 20], sizes: [256, 64 * KB] },
  atMost: 3 * MINUTE
}

/** Peers of a quick look; the rest would take too long. */
export const QUICK_PEERS: readonly string[] = [
  ...['direct', 'nginx', 'nginx-default', 'http-proxy-3', 'http-proxy-3-keep-alive', 'relay', 'mcp-proxy'],
  ...['supergateway', 'node'],
  ...['catflap', 'catflap-recording', 'catflap-metrics', 'library', 'library-ten']
]
