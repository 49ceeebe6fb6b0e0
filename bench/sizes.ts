/**
 * The sizes of docs/scaling.md, computed from what one operation costs Redis (`node bench/redis.ts`): `node bench/sizes.ts`. Prints rows of
 * a table: for 10, 100 and 1,000 catflaps with 2,000 requests/s each, in sessions with one request a second that last ten minutes and change once.
 */

/** Processor time of Redis, in µs. */
const COSTS = { read: 26, use: 22, change: 36, heard: 0.6, begin: 366, end: 30, look: 1_265, lease: 40 }
/** Scripts and commands. */
const OPERATIONS = { begin: 34, change: 1, end: 1, look: 16 }
/** Changes of a session that all are told: what was agreed, another one, its end. */
const TOLD = 3
const PER_CATFLAP = 2_000
const LIFE = 600
const READ_FOR = 5
const USE_FOR = 10
const LOOK_EVERY = 30
const LEASE = 10
const BYTES = 1_726

interface Size {
  readonly reads: number
  readonly uses: number
  readonly operations: number
  readonly cores: number
}

/** `spread`: over how many catflaps the requests of one session go. */
function sizeOf(catflaps: number, spread: number): Size {
  const sessions = catflaps * PER_CATFLAP
  const [reads, uses] = [sessions / (1 + READ_FOR / spread), sessions / (1 + USE_FOR / spread)]
  const begun = sessions / LIFE
  const looks = catflaps / LOOK_EVERY
  const leases = catflaps / (LEASE / 3)
  const rest = begun * (OPERATIONS.begin + OPERATIONS.change + OPERATIONS.end) + looks * OPERATIONS.look + leases
  const told = COSTS.heard * catflaps
  const often = reads * COSTS.read + uses * COSTS.use
  const seldom = begun * (COSTS.begin + COSTS.change + COSTS.end + TOLD * told)
  const micros = often + seldom + looks * COSTS.look + leases * COSTS.lease
  return { reads, uses, operations: reads + uses + rest, cores: micros / 1e6 }
}

const SIZES = [10, 100, 1_000]

function row(name: string, of: (catflaps: number) => number, digits = 0): string {
  const cell = (n: number): string =>
    n.toLocaleString('en', { maximumFractionDigits: digits, minimumFractionDigits: digits })
  return `| ${name} | ${SIZES.map(n => cell(of(n))).join(' | ')} |`
}

export function sizeRows(): readonly string[] {
  return [
    row('requests/s', n => n * PER_CATFLAP),
    row('sessions', n => n * PER_CATFLAP),
    '| **round robin** | | | |',
    row('reads/s', n => sizeOf(n, n).reads),
    row('uses/s', n => sizeOf(n, n).uses),
    row('all operations/s', n => sizeOf(n, n).operations),
    row('cores of Redis', n => sizeOf(n, n).cores, 1),
    '| **by session id** | | | |',
    row('reads and uses/s', n => sizeOf(n, 1).reads + sizeOf(n, 1).uses),
    row('all operations/s', n => sizeOf(n, 1).operations),
    row('cores of Redis', n => sizeOf(n, 1).cores, 1),
    '| **either** | | | |',
    row('messages to listeners/s', n => ((TOLD * n * PER_CATFLAP) / LIFE) * n),
    row('memory of sessions in Redis, MB', n => (n * PER_CATFLAP * BYTES) / 1e6),
    row('lease renewals/s', n => n / (LEASE / 3)),
    row('connections to one Redis', n => 2 * n),
    row('pairs that hand over, at worst', n => n * (n - 1))
  ]
}

if (import.meta.main) console.log(sizeRows().join('\n'))
