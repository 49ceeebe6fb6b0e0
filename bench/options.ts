/** What the arguments of the benchmark mean. */
import os from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { PEER_NAMES } from './peers/list.ts'
import { FULL, type Plan, QUICK, QUICK_PEERS, SMOKE } from './plan.ts'
import { SCENARIOS } from './scenarios/list.ts'
import type { Scenario } from './scenarios/scenario.ts'

export interface Options {
  readonly plan: Plan
  readonly scenarios: readonly Scenario[]
  /** Only these; undefined: all. */
  readonly peers: readonly string[] | undefined
  /** A commit to compare with. */
  readonly compare: string | undefined
  readonly profile: string | undefined
  readonly out: string
  readonly help: boolean
}

/** Ids of requests have eight digits, which have to be enough for all rounds. */
const MOST_ROUNDS = 50
const MOST_SECONDS = 60

export const HELP = `npm run bench -- [options]

catflap beside other proxies and gateways: throughput, latency, processor time and memory. Without options everything is measured,
in five rounds: most of an hour in which the machine should do nothing else. docs/performance.md explains what is measured, and how.

  --quick             a look in at most two minutes: one short round, fewer peers and sessions
  --smoke             everything for a moment, to see that it works; the numbers mean nothing
  --rounds N          rounds that count (5; at most ${MOST_ROUNDS})
  --seconds S         how long one load lasts (3; at most ${MOST_SECONDS})
  --scenarios A,B     only these: ${SCENARIOS.map(s => s.name).join(', ')}
  --peers A,B         only these: ${PEER_NAMES.join(', ')}
  --compare REF       catflap of another commit too, as catflap@REF, wherever catflap takes part, with ratios to it
  --profile DIR       V8 CPU profiles as DIR/SCENARIO/PEER/*.cpuprofile (open them in Chrome's developer tools); catflap is slower by it
  --out FILE          the raw data (JSON), written after each round; by default a new file in ${os.tmpdir()}

Two commits in ten seconds of load: npm run bench -- --scenarios small --peers catflap --compare main
The page of a run: npm run bench -- --out run.json, then node bench/write.ts run.json

Wants nginx, wrk, haproxy, h2load and redis-server (Debian: apt-get install nginx wrk haproxy nghttp2-client redis-server), and other gateways: npm ci --prefix bench/peers. What
is not there is not measured, and shown so. Listens on loopback only, and leaves nothing running, also after Ctrl-C.
Ends with 0; with 1 if a peer failed at something, which the results tell; with 2 for a wrong option.
`

/** Throws a TypeError that names option, value and what is allowed. */
export function optionsOf(argv: string[]): Options {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean', default: false } as const
  const { values } = parseArgs({
    args: argv,
    options: {
      ...{ quick: flag, smoke: flag, help: { ...flag, short: 'h' }, rounds: text, seconds: text, scenarios: text },
      ...{ peers: text, compare: text, profile: text, out: text }
    }
  })
  const plan = values.smoke ? SMOKE : values.quick ? QUICK : FULL
  const rounds =
    values.rounds === undefined ? plan.rounds : positive('--rounds', values.rounds, Number.isSafeInteger, MOST_ROUNDS)
  const ms =
    values.seconds === undefined ? plan.ms : positive('--seconds', values.seconds, Number.isFinite, MOST_SECONDS) * 1000
  const scenarios = chosen(
    '--scenarios',
    values.scenarios,
    SCENARIOS.map(s => s.name)
  )
  const peers = chosen('--peers', values.peers, PEER_NAMES) ?? (values.quick ? QUICK_PEERS : undefined)
  return {
    plan: { ...plan, rounds, ms, atMost: plan.atMost * Math.max(1, rounds / plan.rounds) * Math.max(1, ms / plan.ms) },
    scenarios: scenarios ? SCENARIOS.filter(s => scenarios.includes(s.name)) : SCENARIOS,
    peers,
    compare: values.compare,
    profile: values.profile === undefined ? undefined : path.resolve(values.profile),
    out: path.resolve(values.out ?? path.join(os.tmpdir(), `catflap-bench-${Date.now()}.json`)),
    help: values.help
  }
}

function positive(option: string, text: string, allowed: (value: number) => boolean, most: number): number {
  const value = Number(text)
  if (allowed(value) && value > 0 && value <= most) return value
  const what = allowed === Number.isSafeInteger ? 'a whole number from 1' : 'a number above 0'
  throw new TypeError(`${option}: '${text}' is not allowed; give ${what}, at most ${most}`)
}

function chosen(option: string, text: string | undefined, possible: readonly string[]): string[] | undefined {
  if (text === undefined) return undefined
  const names = text.split(',').map(name => name.trim())
  for (const name of names)
    if (!possible.includes(name))
      throw new TypeError(`${option}: '${name}' is not known; choose from ${possible.join(', ')}`)
  return names
}
