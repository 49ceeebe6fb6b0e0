/** JSON Schemas (draft 2020-12, as OpenAPI 3.1 has them) of all that the admin listener answers. */

type Schema = Readonly<Record<string, unknown>>

const TEXT: Schema = { type: 'string' }
const FLAG: Schema = { type: 'boolean' }
const COUNT: Schema = { type: 'integer', minimum: 0 }
const TIME: Schema = { type: 'string', format: 'date-time' }

const ref = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` })
const listOf = (items: Schema): Schema => ({ type: 'array', items })
const oneOf = (...values: readonly string[]): Schema => ({ type: 'string', enum: values })

/** An object that has these members and no others; `optional` ones may be absent. */
function object(required: Record<string, Schema>, optional: Record<string, Schema> = {}, description?: string): Schema {
  return {
    type: 'object',
    ...(description !== undefined && { description }),
    properties: { ...required, ...optional },
    required: Object.keys(required),
    additionalProperties: false
  }
}

function described(schema: Schema, description: string): Schema {
  return { ...schema, description }
}

const POOL = object({ connected: COUNT, free: COUNT, running: COUNT, pending: COUNT, queued: COUNT }, { size: COUNT })

export const SCHEMAS: Readonly<Record<string, Schema>> = {
  Alive: object({ status: { const: 'ok' } }),
  Readiness: object(
    { status: oneOf('ready', 'not ready') },
    { state: ref('State'), routes: listOf(ref('RouteReadiness')), store: ref('StoreReadiness') },
    'With a token it also says why.'
  ),
  RouteReadiness: object({ name: TEXT, ready: FLAG }, { why: described(TEXT, 'Where it is not ready.') }),
  StoreReadiness: object(
    { ready: FLAG, state: ref('StoreState') },
    { why: described(TEXT, 'Where it does not do its work.') },
    'Of the store that several instances share, where there is one.'
  ),
  StoreState: described(
    oneOf('up', 'degraded', 'down'),
    'degraded: it does not do its work, and sessions over HTTP that are known here go on without it.'
  ),
  State: described(oneOf('starting', 'ready', 'draining'), 'Of the whole proxy.'),
  Status: object(
    {
      version: TEXT,
      startedAt: TIME,
      uptime: described({ type: 'number', minimum: 0 }, 'Seconds.'),
      state: ref('State'),
      listeners: listOf(ref('Listener')),
      routes: listOf(ref('Route'))
    },
    { store: ref('Store'), drain: ref('Drain') }
  ),
  Store: object(
    {
      name: described(TEXT, 'Its address without credentials.'),
      state: ref('StoreState'),
      since: described(TIME, 'When that has changed last.'),
      instance: described(
        TEXT,
        'The name of this instance among those that share it. It changes when its lease was lost.'
      ),
      leased: described(FLAG, 'Its lease has not run out: it surely is the owner of what it holds.')
    },
    {
      reason: described(TEXT, 'Where it does not do its work.'),
      address: described(TEXT, 'HOST:PORT where other instances reach this one.')
    },
    'The store that several instances share. What the last operation has shown; nothing is asked for this.'
  ),
  Listener: object({ url: TEXT, protocols: listOf(oneOf('http/1.1', 'h2')), connections: COUNT }),
  Route: object(
    {
      name: TEXT,
      path: TEXT,
      generation: described({ type: 'integer', minimum: 1 }, 'Counts the configurations that had this route.'),
      retiring: described(FLAG, 'It takes no new sessions, and goes when its last one has ended.'),
      ready: FLAG,
      targets: listOf(ref('Target')),
      sessions: ref('SessionCounts'),
      exchanges: described(COUNT, 'Calls that clients wait for.'),
      streams: described(COUNT, 'Streams that are open by design: GET, subscriptions.')
    },
    { host: TEXT, upstream: ref('Upstream'), tape: ref('Tape') }
  ),
  Target: object(
    {
      name: described(TEXT, 'Its URL without credentials, or its command.'),
      state: described(
        oneOf('up', 'ejected', 'down', 'parked', 'unknown'),
        'ejected: it failed and is left out for a while. down: its check fails. parked: a command that keeps failing. unknown: nobody watches it.'
      )
    },
    { reason: TEXT, inFlight: COUNT, until: described(TIME, 'When it is asked again.') }
  ),
  SessionCounts: object({
    total: COUNT,
    versions: { type: 'object', additionalProperties: COUNT, description: 'By protocol revision.' },
    transports: object({ http: COUNT, sse: COUNT, stdio: COUNT })
  }),
  Upstream: {
    type: 'object',
    description: 'What is held at the servers of a route. It depends on their kind, and other members may come.',
    properties: {
      queued: described(COUNT, 'Calls that wait for a connection.'),
      pools: object({}, { calls: POOL, streams: POOL }),
      children: {
        type: 'object',
        properties: { alive: COUNT, started: COUNT, lost: COUNT, restarted: COUNT },
        required: ['alive', 'started', 'lost', 'restarted']
      }
    }
  },
  Tape: object({ frames: COUNT, bytes: COUNT, drops: COUNT, queued: COUNT }),
  Sessions: object(
    { sessions: listOf(ref('Session')) },
    { cursor: described(TEXT, 'Asks for the next page. Its absence, and nothing else, means the end.') }
  ),
  Session: object(
    {
      handle: described(TEXT, 'The name in logs and tapes; never the id, with which it could be used.'),
      route: TEXT,
      transport: oneOf('http', 'sse', 'stdio'),
      createdAt: TIME,
      lastSeenAt: TIME,
      inFlight: described(COUNT, 'Calls and streams.')
    },
    { protocolVersion: TEXT, member: described(TEXT, 'Which of several targets has it.') }
  ),
  Drain: object(
    { phase: oneOf('none', 'grace', 'draining', 'drained') },
    {
      startedAt: TIME,
      deadline: described(TIME, 'Calls that are still in flight then are cut.'),
      calls: COUNT,
      streams: COUNT,
      cut: described(COUNT, 'Calls that did not end in time.')
    }
  ),
  Problem: object(
    { title: TEXT, status: { type: 'integer', minimum: 400, maximum: 599 }, detail: TEXT, code: TEXT },
    {},
    'RFC 9457. `code` is stable.'
  )
}
