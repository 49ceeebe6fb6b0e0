/**
 * Every metric, once: what is counted, what the scrape shows and what docs/observability.md lists (a test compares). Names and
 * attributes that begin with `mcp.`, `gen_ai.`, `rpc.`, `network.`, `server.`, `error.`, `process.` and `nodejs.` are those of
 * OpenTelemetry's semantic conventions; the rest is `catflap.`.
 */
export interface Instrument {
  readonly type: 'histogram' | 'counter' | 'gauge'
  /** UCUM, as OpenTelemetry writes units. */
  readonly unit: string
  readonly help: string
  /** What can stand on a series; on one series some may be absent. */
  readonly labels: readonly string[]
  /** Upper bounds of a histogram's buckets. */
  readonly buckets?: readonly number[]
}

/** As the conventions for MCP say for all four of its histograms. */
const MCP_BUCKETS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300]
/** A store is near, or something is wrong. */
const STORE_BUCKETS = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5]

const OPERATION = [
  'mcp.method.name',
  'gen_ai.operation.name',
  'gen_ai.tool.name',
  'gen_ai.prompt.name',
  'mcp.protocol.version',
  'network.transport',
  'network.protocol.name',
  'error.type',
  'rpc.response.status_code'
]
const SESSION = ['mcp.protocol.version', 'network.transport', 'network.protocol.name', 'error.type']
const SERVER = ['server.address', 'server.port']
const DIRECTION = ['network.io.direction']
/** On what belongs to a route, where there are several. */
const ROUTE = ['catflap.route']

export const INSTRUMENTS = {
  'mcp.server.operation.duration': {
    type: 'histogram',
    unit: 's',
    help: 'What clients ask of catflap: from the head of a request or notification to the end of its answer',
    labels: [...OPERATION, ...ROUTE],
    buckets: MCP_BUCKETS
  },
  'mcp.client.operation.duration': {
    type: 'histogram',
    unit: 's',
    help: 'What catflap asks of the server: from the moment a request or notification is handed over to the end of its answer',
    labels: [...OPERATION, ...SERVER, ...ROUTE],
    buckets: MCP_BUCKETS
  },
  'mcp.server.session.duration': {
    type: 'histogram',
    unit: 's',
    help: 'How long sessions with clients lasted, once they have ended',
    labels: [...SESSION, ...ROUTE],
    buckets: MCP_BUCKETS
  },
  'mcp.client.session.duration': {
    type: 'histogram',
    unit: 's',
    help: 'How long sessions with the server lasted, once they have ended',
    labels: [...SESSION, ...SERVER, ...ROUTE],
    buckets: MCP_BUCKETS
  },
  'catflap.stream.first_message.duration': {
    type: 'histogram',
    unit: 's',
    help: 'Answers that are streams: from the head of the request to the first message of its answer',
    labels: ['mcp.method.name', ...ROUTE],
    buckets: MCP_BUCKETS
  },
  'catflap.exchanges': {
    type: 'counter',
    unit: '{exchange}',
    help: 'What clients did, and how it ended',
    labels: ['catflap.exchange.kind', 'catflap.exchange.result', ...ROUTE]
  },
  'catflap.exchanges.active': {
    type: 'gauge',
    unit: '{exchange}',
    help: 'Exchanges that have begun and not ended, open streams among them',
    labels: ROUTE
  },
  'catflap.errors': {
    type: 'counter',
    unit: '{error}',
    help: 'Exchanges that failed behind the door, by the code of the error',
    labels: ['error.type', ...ROUTE]
  },
  'catflap.refusals': {
    type: 'counter',
    unit: '{refusal}',
    help: 'What was refused before it reached the server, by the code of the error',
    labels: ['error.type', ...ROUTE]
  },
  'catflap.connections': {
    type: 'gauge',
    unit: '{connection}',
    help: 'Connections of clients that are open',
    labels: []
  },
  'catflap.sessions': {
    type: 'gauge',
    unit: '{session}',
    help: 'Sessions that this process holds, by their revision (the modern era has no sessions)',
    labels: ['mcp.protocol.version', ...ROUTE]
  },
  'catflap.session.reinitializations': {
    type: 'counter',
    unit: '{session}',
    help: 'Sessions that the server had lost, by what became of them',
    labels: ['catflap.session.outcome', ...ROUTE]
  },
  'catflap.streams': {
    type: 'gauge',
    unit: '{stream}',
    help: 'Streams to clients that are open: listen (GET), or answers that are streams',
    labels: ['catflap.stream.kind', ...ROUTE]
  },
  'catflap.downstream.io': {
    type: 'counter',
    unit: 'By',
    help: 'Bytes on connections (HTTP: with heads) or pipes of clients; receive: from them',
    labels: DIRECTION
  },
  'catflap.upstream.io': {
    type: 'counter',
    unit: 'By',
    help: 'Content of calls to the server, without heads; receive: from it',
    labels: [...DIRECTION, ...ROUTE]
  },
  'catflap.upstream.queue': {
    type: 'gauge',
    unit: '{call}',
    help: 'Calls that wait for a connection to the server',
    labels: ROUTE
  },
  'catflap.upstream.connections': {
    type: 'gauge',
    unit: '{connection}',
    help: 'Connections to the server, by pool: all that are connected, and those of them that are free',
    labels: ['catflap.pool', 'catflap.connection.state', ...ROUTE]
  },
  'catflap.upstream.requests': {
    type: 'gauge',
    unit: '{request}',
    help: 'Requests in a pool of connections: running, or pending until there is one',
    labels: ['catflap.pool', 'catflap.request.state', ...ROUTE]
  },
  'catflap.upstream.retries': {
    type: 'counter',
    unit: '{retry}',
    help: 'What was asked of the server once more: streams taken up again, calls with other headers, over another transport, where nothing had been sent, or in a session made anew',
    labels: ['catflap.retry.reason', ...ROUTE]
  },
  'catflap.target.up': {
    type: 'gauge',
    unit: '{target}',
    help: 'Whether a target is asked (1), or left out because it failed or its check fails (0)',
    labels: ['catflap.target', ...ROUTE]
  },
  'catflap.target.ejections': {
    type: 'counter',
    unit: '{ejection}',
    help: 'How often a target was left out because it failed',
    labels: ['catflap.target', ...ROUTE]
  },
  'catflap.children': {
    type: 'gauge',
    unit: '{process}',
    help: 'Child processes that live',
    labels: ROUTE
  },
  'catflap.child.starts': {
    type: 'counter',
    unit: '{process}',
    help: 'Child processes that were started',
    labels: ROUTE
  },
  'catflap.child.losses': {
    type: 'counter',
    unit: '{process}',
    help: 'Child processes that ended by themselves, or could not be started',
    labels: ROUTE
  },
  'catflap.child.restarts': {
    type: 'counter',
    unit: '{process}',
    help: 'Shared child processes that were started in the place of a lost one',
    labels: ROUTE
  },
  'catflap.handovers': {
    type: 'counter',
    unit: '{exchange}',
    help: 'Exchanges that were handed over to the instance that holds their session',
    labels: ROUTE
  },
  'catflap.takeovers': {
    type: 'counter',
    unit: '{session}',
    help: 'Sessions that were begun anew here as the instance that held them was gone',
    labels: ROUTE
  },
  'catflap.store.operations': {
    type: 'counter',
    unit: '{operation}',
    help: 'What the session store was asked',
    labels: ['catflap.store.operation', 'error.type', ...ROUTE]
  },
  'catflap.store.up': {
    type: 'gauge',
    unit: '{store}',
    help: 'Whether the store that several instances share does its work (1) or not (0)',
    labels: []
  },
  'catflap.store.leased': {
    type: 'gauge',
    unit: '{lease}',
    help: 'Whether this instance surely owns what it holds (1), or its lease may have run out (0)',
    labels: []
  },
  'catflap.store.operation.duration': {
    type: 'histogram',
    unit: 's',
    help: 'The same, how long it took; a store in memory answers at once and is not timed',
    labels: ['catflap.store.operation', 'error.type', ...ROUTE],
    buckets: STORE_BUCKETS
  },
  'catflap.tape.frames': { type: 'counter', unit: '{frame}', help: 'Frames written to the tape', labels: ROUTE },
  'catflap.tape.drops': { type: 'counter', unit: '{frame}', help: 'Frames missing on the tape', labels: ROUTE },
  'catflap.tape.io': { type: 'counter', unit: 'By', help: 'Bytes written to the tape', labels: ROUTE },
  'catflap.tape.queue': { type: 'gauge', unit: '{frame}', help: 'Frames that wait to be written', labels: ROUTE },
  'catflap.access_log.drops': {
    type: 'counter',
    unit: '{line}',
    help: 'Lines missing in the access log',
    labels: []
  },
  'nodejs.eventloop.delay.mean': {
    type: 'gauge',
    unit: 's',
    help: 'How late the event loop was since the last scrape: mean',
    labels: []
  },
  'nodejs.eventloop.delay.p50': { type: 'gauge', unit: 's', help: 'The same: median', labels: [] },
  'nodejs.eventloop.delay.p99': { type: 'gauge', unit: 's', help: 'The same: 99th percentile', labels: [] },
  'nodejs.eventloop.delay.max': { type: 'gauge', unit: 's', help: 'The same: the worst', labels: [] },
  'process.cpu.time': { type: 'counter', unit: 's', help: 'Processor time used', labels: ['cpu.mode'] },
  'process.memory.usage': { type: 'gauge', unit: 'By', help: 'Physical memory in use (RSS)', labels: [] }
} as const satisfies Record<string, Instrument>

export type InstrumentName = keyof typeof INSTRUMENTS

/** Upper bounds of its buckets. */
export function boundsOf(name: InstrumentName): readonly number[] {
  const { buckets = [] }: Instrument = INSTRUMENTS[name]
  return buckets
}

const WORDS: Readonly<Record<string, string>> = { s: '_seconds', By: '_bytes' }

/**
 * The name in Prometheus text, as OpenTelemetry's rules for Prometheus make it: underscores, the unit in words unless it is an
 * annotation in braces, `_total` behind counters.
 */
export function prometheusName(name: InstrumentName): string {
  const { type } = INSTRUMENTS[name]
  return `${name.replaceAll('.', '_')}${unitSuffix(name)}${type === 'counter' ? '_total' : ''}`
}

/** What its name ends with in Prometheus text, before `_total`. */
export function unitSuffix(name: InstrumentName): string {
  return WORDS[INSTRUMENTS[name].unit] ?? ''
}
