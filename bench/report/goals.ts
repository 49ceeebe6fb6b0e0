/** What catflap is to reach, and what it did: each a number of one run. */
import { median, type PeerResult, type Run, ratioTo, valuesOf } from './results.ts'

export interface Goal {
  readonly says: string
  readonly wanted: string
  /** Undefined where the run does not tell. */
  readonly measured: string | undefined
  readonly met: boolean | undefined
}

interface Kind {
  readonly says: string
  readonly bound: number
  readonly better: 'more' | 'less'
  readonly unit: string
  readonly measure: (run: Run) => number | undefined
}

const KINDS: readonly Kind[] = [
  ratio('small calls, requests/s, to http-proxy-3 as its README starts it', 'small', 'rate', 'http-proxy-3', 3, 'more'),
  ratio('the same, to http-proxy-3 that keeps connections', 'small', 'rate', 'http-proxy-3-keep-alive', 3, 'more'),
  ratio('small calls, requests/s, to a straightforward relay', 'small', 'rate', 'relay', 1.3, 'more'),
  ratio(
    'small calls, requests/s, to nginx, one worker, `proxy_pass` alone',
    'small',
    'rate',
    'nginx-default',
    0.5,
    'more'
  ),
  ratio('the same, to nginx that keeps connections', 'small', 'rate', 'nginx', 0.5, 'more'),
  ratio('one connection, p50, to that relay', 'one-connection', 'p50', 'relay', 1, 'less'),
  ratio('half load, p99, to that relay, each at half of its own rate', 'half-load', 'p99', 'relay', 1.5, 'less'),
  ratio('the same rate asked of both, 4,000 a second, p99', 'fixed-rates', 'p99@4000', 'relay', 1.5, 'less'),
  ratio('recording, requests/s, to not recording', 'recording', 'rate', 'catflap', 0.9, 'more', 'catflap-recording'),
  ratio('metrics on and scraped, to off', 'metrics', 'rate', 'catflap', 0.97, 'more', 'catflap-metrics'),
  ratio('ten interceptors, to none', 'interceptors', 'rate', 'library', 0.95, 'more', 'library-ten'),
  ratio('stdio behind, requests/s, to mcp-proxy', 'stdio', 'rate', 'mcp-proxy', 3, 'more'),
  ratio('stdio behind, requests/s, to supergateway', 'stdio', 'rate', 'supergateway', 3, 'more'),
  value('resident memory for an idle session with its stream open', 'idle', 'kbStream', 'KB', 45),
  value('growth while a result of 256 MB passes', 'largest', 'growth', 'MB', 32),
  value('growth while a slow reader takes 200 MB of SSE', 'slow-reader', 'growth', 'MB', 32),
  ratio('start to listening, to `node -e 0`', 'start-up', 'ms', 'node', 5, 'less'),
  {
    says: 'processor time a request, any number of sessions to one session, at most off by',
    bound: 10,
    better: 'less',
    unit: '%',
    measure: flatness
  }
]

/** Of the reverse proxy, which has a page of its own. */
const REVERSE_KINDS: readonly Kind[] = [
  ratio(
    '`reverse` with one route, requests/s, to `forward`',
    'routes',
    'rate',
    'catflap',
    0.97,
    'more',
    'catflap-reverse'
  ),
  ratio('ten routes, to one', 'routes', 'rate', 'catflap-reverse', 0.97, 'more', 'catflap-reverse-ten'),
  ratio(
    'one of two servers hangs, p99, to both well',
    'hanging',
    'p99',
    'catflap-two',
    2,
    'less',
    'catflap-two-hanging'
  ),
  value(
    'a drain, until the last of 1,000 open streams and 100 subscriptions has ended',
    'drain',
    'ms',
    'ms',
    2_000,
    'catflap-drained'
  )
]

/** Of several instances, the same. */
const SCALING_KINDS: readonly Kind[] = [
  ratio(
    'sessions in Redis, requests/s, to sessions in memory',
    'store',
    'rate',
    'library',
    0.75,
    'more',
    'library-redis'
  ),
  value('a session in Redis', 'store-size', 'bytes', 'bytes', 2_048, 'library-redis'),
  value(
    'an owner is killed, until its session is served again, beyond its lease',
    'takeover',
    'beyond',
    'ms',
    1_000,
    'library-redis-two'
  )
]

/** Of tapes, the same. */
const REPLAY_KINDS: readonly Kind[] = [
  ratio(
    '`replay`, requests/s, to `forward` to a static server',
    'replay',
    'rate',
    'catflap',
    0.9,
    'more',
    'catflap-replay'
  ),
  ...(
    [
      ['catflap-tape-rare', '`tape show --method` over 1 GB, one call in 5,000'],
      ['catflap-tape-tenth', 'the same, one call in ten']
    ] as const
  ).flatMap(([peer, says]) => [
    value(says, 'tape-show', 'mb', 'MB/s', 150, peer, 'more'),
    value(`${says}: memory at most`, 'tape-show', 'peak', 'MB', 150, peer)
  ])
]

const PAGES = { all: KINDS, reverse: REVERSE_KINDS, replay: REPLAY_KINDS, scaling: SCALING_KINDS } as const

export function goalsOf(run: Run, which: keyof typeof PAGES = 'all'): Goal[] {
  return PAGES[which].map(({ says, bound, better, unit, measure }) => {
    const found = measure(run)
    const met = found === undefined ? undefined : better === 'more' ? found >= bound : found <= bound
    const measured = found === undefined ? undefined : `${found.toFixed(unit === '×' ? 2 : 1)} ${unit}`
    return { says, wanted: `${better === 'more' ? '≥' : '≤'} ${bound} ${unit}`, measured, met }
  })
}

export function goalsTable(goals: readonly Goal[]): string {
  const row = ({ says, wanted, measured, met }: Goal): string =>
    `| ${says} | ${wanted} | ${measured ?? 'not measured'} | ${met === undefined ? '–' : met ? 'yes' : '**no**'} |`
  return ['| what | wanted | measured | reached |', '|---|---:|---:|---|', ...goals.map(row)].join('\n')
}

function result(run: Run, scenario: string, peer: string): PeerResult | undefined {
  return run.scenarios.find(s => s.name === scenario)?.results.find(r => r.peer === peer)
}

function ratio(
  says: string,
  scenario: string,
  key: string,
  base: string,
  bound: number,
  better: 'more' | 'less',
  peer = 'catflap'
): Kind {
  const measure = (run: Run): number | undefined => {
    const own = result(run, scenario, peer)
    return own && ratioTo(result(run, scenario, base), own, key)
  }
  return { says, bound, better, unit: '×', measure }
}

function value(
  says: string,
  scenario: string,
  key: string,
  unit: string,
  bound: number,
  peer = 'catflap',
  better: Kind['better'] = 'less'
): Kind {
  const measure = (run: Run): number | undefined => {
    const own = result(run, scenario, peer)
    const values = own ? valuesOf(own, key) : []
    return values.length > 0 ? median(values) : undefined
  }
  return { says, bound, better, unit, measure }
}

function flatness(run: Run): number | undefined {
  const own = result(run, 'growth-sessions', 'catflap')
  const points = run.scenarios.find(s => s.name === 'growth-sessions')?.curve?.points
  if (!own || !points) return undefined
  const costs = points.map(point => median(valuesOf(own, `cpu@${point}`))).filter(Number.isFinite)
  return costs.length < 2 ? undefined : Math.max(...costs.map(cost => Math.abs(cost / costs[0]! - 1))) * 100
}
