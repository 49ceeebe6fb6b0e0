/** Load at a fixed rate, whatever the answers do: what those wait who do not wait for one another. */
import { CALL, CALL_TEMPLATE, HEADERS, post, postHead, RESULT, SESSION_HEADER } from '../load/messages.ts'
import { type OpenLoopResult, openLoop } from '../load/open-loop.ts'
import type { Peer } from '../peers/peer.ts'
import { FULL } from '../plan.ts'
import type { Metric, Note, Round } from '../report/results.ts'
import { small } from './calls.ts'
import { type SaturationLoad, saturation } from './saturation.ts'
import { type Context, P50, P99, P999, RATE, type Scenario } from './scenario.ts'

/** What the generator keeps up with; only peers that are no Node programs bear more. */
const MOST = 12_000
const LAG: Metric = { key: 'lag', label: 'generator late, p99 ms', digits: 2, better: 'less' }
/** Of the p99 that was measured, as much may be the generator's own; beyond it is told. */
const MOST_LAG = 0.5

export const fixedRates: Scenario = {
  ...small,
  name: 'fixed-rates',
  title: 'At fixed rates',
  says:
    'The small call, sent at fixed moments whether or not others are answered. Latency counts from the moment a request should ' +
    'have been sent; all answers are compared. All peers bear the same rates.',
  metrics: FULL.rates.flatMap(rate =>
    [P50, P99, P999].map(m => ({ ...m, key: `${m.key}@${rate}`, label: `${m.label} at ${rate}/s` }))
  ),
  notes: FULL.rates.flatMap(rate => doubtsNoted(`@${rate}`, ` at ${rate}/s`)),
  open: async (peer, _kind, context) => {
    const load = await smallLoad(peer, context)
    return {
      ...load,
      round: async () => {
        const rounds: Round[] = []
        for (const rate of context.plan.rates) {
          const { p50, p99, p999, ...others } = await atRate(peer, load, rate, context)
          const at = { [`p50@${rate}`]: p50, [`p99@${rate}`]: p99, [`p999@${rate}`]: p999 }
          rounds.push({ ...at, ...doubts(others, p99, `@${rate}`) })
        }
        return Object.assign({}, ...rounds) as Round
      }
    }
  }
}

export const halfLoad: Scenario = {
  ...small,
  name: 'half-load',
  title: 'At half of what each bears',
  says:
    'The same, each peer at half of its own saturated rate: an upright proxy is quick there. (A faster peer is asked more, ' +
    `and has the server and the load generator beside it work more, on the same cores.) None is asked more than ${MOST.toLocaleString('en-US')} a second, ` +
    'which is what the generator keeps up with.',
  metrics: [P99, P50, P999, { ...RATE, label: 'asked, requests/s' }, LAG],
  notes: doubtsNoted(),
  open: async (peer, _kind, context) => {
    const load = await smallLoad(peer, context)
    let rate = 0
    return {
      ...load,
      warm: async () => {
        await load.warm?.()
        const saturated = await load.saturate(context.plan.ms)
        rate = Math.min(MOST, saturated.rate / 2)
      },
      round: async () => {
        const { p50, p99, p999, ...others } = await atRate(peer, load, rate, context)
        return { p99, p50, p999, rate, ...doubts(others, p99) }
      }
    }
  }
}

/** What makes numbers of a load at a fixed rate doubtful, for the raw data. */
export function doubts({ lag, missing }: Pick<OpenLoopResult, 'lag' | 'missing'>, p99: number, at = ''): Round {
  return { [`lag${at}`]: lag, [`lagShare${at}`]: lag / p99, [`missing${at}`]: missing }
}

/** The same as what is told below a table. */
export function doubtsNoted(at = '', says = ''): Note[] {
  return [
    { key: `missing${at}`, above: 0, says: `requests${says} had no answer five seconds after the last was sent` },
    {
      key: `lagShare${at}`,
      above: MOST_LAG,
      says: `the load generator${says} was so late itself that the p99 is more its own than the peer's`
    }
  ]
}

function smallLoad(peer: Peer, context: Context): Promise<SaturationLoad> {
  return saturation(peer, context, { messages: [CALL_TEMPLATE], expected: () => RESULT })
}

function atRate(peer: Peer, load: SaturationLoad, rate: number, { plan }: Context): Promise<OpenLoopResult> {
  const request = post(postHead(peer.url, { ...HEADERS, [SESSION_HEADER]: load.sessions[0]! }), CALL)
  // Enough that a request never waits for another one's connection, unless the peer is far behind.
  const { ms, warm } = plan
  return openLoop({ url: peer.url, request, expected: RESULT, rate, ms, warm, connections: 256, until: 'end' })
}
