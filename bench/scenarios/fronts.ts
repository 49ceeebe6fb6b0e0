/** What a reverse proxy has to bear that a forward proxy has not: HTTP/2, and several servers, one of which hangs. */
import { h2load } from '../load/h2load.ts'
import {
  CALL,
  HEADERS,
  MODERN_CALL,
  MODERN_HEADERS,
  MODERN_RESULT,
  post,
  postHead,
  SESSION_HEADER
} from '../load/messages.ts'
import { openLoop } from '../load/open-loop.ts'
import { openSessions } from '../load/sessions.ts'
import { missingPrograms, NotInstalled } from '../peers/process.ts'
import type { Round } from '../report/results.ts'
import { small } from './calls.ts'
import { doubts, doubtsNoted } from './rates.ts'
import { cpuPerRequest, P50, P99, RATE, type Scenario } from './scenario.ts'

/** Requests a second: a fraction of what any of them bears. */
const RATE_OF_HANGING = 1_000

const WAYS = [
  { key: 'h1', label: 'HTTP/1.1, 32 connections', http1: true, connections: 32, streams: 1 },
  { key: 'h2', label: 'HTTP/2, 32 connections', http1: false, connections: 32, streams: 1 },
  { key: 'h2one', label: 'HTTP/2, one connection', http1: false, connections: 1, streams: 32 }
] as const

export const http2: Scenario = {
  ...small,
  name: 'http2',
  title: 'HTTP/2 beside HTTP/1.1',
  says: 'The small call through `catflap reverse` on clear text, 32 at once, by h2load: each in a connection of its own, or all on one.',
  metrics: WAYS.flatMap(({ key, label }) => [
    { ...RATE, key, label: `requests/s, ${label}` },
    { key: `cpu-${key}`, label: `CPU µs/request, ${label}`, digits: 1, better: 'less' as const }
  ]),
  base: 'catflap-reverse',
  peers: ['catflap-reverse'],
  open: async (peer, _kind, { plan, folder }) => {
    if (missingPrograms(['h2load']).length > 0)
      throw new NotInstalled('h2load is not installed; on Debian: apt-get install nghttp2-client')
    const [session] = await openSessions(peer.url, 1)
    const headers = { ...HEADERS, [SESSION_HEADER]: session! }
    const load = async (): Promise<Round> => {
      const round: Record<string, number> = {}
      for (const { key, http1, connections, streams } of WAYS) {
        const seconds = Math.max(1, Math.round(plan.ms / 1000))
        const { rate, cpu } = await cpuPerRequest(peer, () =>
          h2load({ url: peer.url, http1, connections, streams, seconds, headers, body: CALL, folder })
        )
        round[key] = rate
        if (cpu !== undefined) round[`cpu-${key}`] = cpu
      }
      return round
    }
    return { warm: async () => void (plan.warm > 0 && (await load())), round: load }
  }
}

export const hanging: Scenario = {
  ...small,
  name: 'hanging',
  title: 'One of two servers hangs',
  says:
    'Small calls of revision 2026-07-28, 1,000 a second, through `catflap reverse` with two servers for one route: both well, and one of them ' +
    'accepting connections and never answering. The few calls that it got before it was left out have no answer, and count with the time they waited.',
  metrics: [
    { ...P99, digits: 3 },
    { ...P50, digits: 3 }
  ],
  notes: doubtsNoted(),
  base: 'catflap-two',
  peers: ['catflap-two', 'catflap-two-hanging'],
  open: async (peer, _kind, { plan }) => {
    const request = post(postHead(peer.url, MODERN_HEADERS), MODERN_CALL)
    const load = async (ms: number): Promise<Round> => {
      const { warm } = plan
      const { p50, p99, ...others } = await openLoop({
        ...{ url: peer.url, request, expected: MODERN_RESULT, rate: RATE_OF_HANGING, ms, warm, connections: 256 },
        until: 'end'
      })
      return { p50, p99, ...doubts(others, p99) }
    }
    return { warm: async () => void (plan.warm > 0 && (await load(plan.warm))), round: () => load(plan.ms) }
  }
}
