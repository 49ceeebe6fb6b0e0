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

export const HELP = `npm run bench -- [options]

  --quick             a look in at most two minutes: one short round, fewer peers and sessions
  --smoke             everything for a moment, to see that it works; the numbers mean nothing
  --rounds N          rounds that count (5)
  --seconds S         how long one load lasts (3)
  --scenarios A,B     only these: ${SCENARIOS.map(s => s.name).join(', ')}
  --peers A,B         only these: ${PEER_NAMES.join(', ')}
  --compare REF       catflap of another commit too, wherever catflap takes part
  --profile DIR       V8 CPU profiles of catflap, one a scenario (open them in Chrome's developer tools)
  --out FILE          the raw data (JSON); bench/write.ts makes docs/performance.md of it

Wants nginx and wrk, and haproxy if it is to be compared (Debian: apt-get install nginx wrk haproxy), and other gateways:
npm ci --prefix bench/peers. Listens on loopback only, and leaves nothing running.
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
  const rounds = values.rounds === undefined ? plan.rounds : positive('--rounds', values.rounds, Number.isSafeInteger)
  const ms = values.seconds === undefined ? plan.ms : positive('--seconds', values.seconds, Number.isFinite) * 1000
  const scenarios = chosen(
    '--scenarios',
    values.scenarios,
    SCENARIOS.map(s => s.name)
  )
  const peers = chosen('--peers', values.peers, PEER_NAMES) ?? (values.quick ? QUICK_PEERS : undefined)
  return {
    plan: { ...plan, rounds, ms },
    scenarios: scenarios ? SCENARIOS.filter(s => scenarios.includes(s.name)) : SCENARIOS,
    peers,
    compare: values.compare,
    profile: values.profile === undefined ? undefined : path.resolve(values.profile),
    out: path.resolve(values.out ?? path.join(os.tmpdir(), `catflap-bench-${Date.now()}.json`)),
    help: values.help
  }
}

function positive(option: string, text: string, allowed: (value: number) => boolean): number {
  const value = Number(text)
  if (allowed(value) && value > 0 && value <= 3600) return value
  const what = allowed === Number.isSafeInteger ? 'a whole number from 1' : 'a number above 0'
  throw new TypeError(`${option}: '${text}' is not allowed; give ${what}, at most 3600`)
}

function chosen(option: string, text: string | undefined, possible: readonly string[]): string[] | undefined {
  if (text === undefined) return undefined
  const names = text.split(',').map(name => name.trim())
  for (const name of names)
    if (!possible.includes(name))
      throw new TypeError(`${option}: '${name}' is not known; choose from ${possible.join(', ')}`)
  return names
}
