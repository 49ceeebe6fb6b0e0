// biome-ignore-all lint/suspicious/noTemplateCurlyInString: references of configuration files look like that
import { LOG_LEVELS } from '../log.ts'
import { MAX_NAMES } from '../proxy/metering.ts'
import * as f from './formats.ts'
import * as part from './parts.ts'
import { choice, flag, text } from './scalars.ts'
import { type Definitions, either, type Json, key, list, named, object, offOr, type Shape } from './shape.ts'
import { cluster, store } from './store-shape.ts'
import { tape } from './tape-shape.ts'

/** The configuration file, described once: what is accepted, what editors are told, and what docs/configuration.md lists. */

const ERAS = ['auto', 'legacy', 'modern'] as const

const target = object(
  {
    url: key(f.url, "the server's URL", { required: true, examples: ['https://mcp.example.com/mcp'] }),
    weight: key(f.count(1, 1000), 'its share among the targets of the route', { fallback: 1 }),
    headers: key(part.headerFields, 'sent with every request, in the place of what the client sent under that name', {
      otherwise: 'none',
      examples: [{ Authorization: 'Bearer ${GITHUB_TOKEN}' }]
    }),
    ca: key(f.pem('certificate'), "certificate authorities to trust besides the system's", { otherwise: 'none' }),
    insecure: key(flag, "do not verify the server's certificate: anybody in between can read and change everything", {
      fallback: false
    }),
    transport: key(choice(['auto', 'streamable-http', 'sse']), 'what the URL speaks; `sse` is the older HTTP+SSE', {
      fallback: 'auto'
    }),
    era: key(choice(ERAS), 'revisions it speaks: up to 2025-11-25 (`legacy`), or from 2026-07-28 (`modern`)', {
      fallback: 'auto'
    })
  },
  { name: 'target' }
)
export const oneTarget = either(f.url, target)

const environment = named(f.anyText, {
  what: 'names and values',
  names: '[^=\\0]+',
  allowed: 'the name of a variable',
  suffix: '.NAME'
})
const variableName = text({
  type: 'name of a variable',
  pattern: '[^=\\0]+',
  allowed: 'the name of a variable',
  secrecy: 'never'
})

const headers = key(part.headerRules, 'headers that are taken away, set and added', { otherwise: 'none' })
const record = key(offOr(either(f.file, part.record)), 'write tapes: to this file or folder', {
  fallback: false,
  examples: ['./tapes/']
})
const health = key(part.health, 'what keeps a target from being asked; URLs only')
const balance = key(choice(['round-robin', 'least-in-flight']), 'how one of several targets is chosen', {
  fallback: 'round-robin'
})
const sessionLoss = key(choice(['reinitialize', 'propagate']), 'what becomes of a session that the server has lost', {
  otherwise: '`reinitialize` for URLs, else `propagate`'
})
const inheritEnv = key(
  list(variableName, 'list of names'),
  "variables of catflap's own environment that the command gets besides the short list that all get; commands only",
  { otherwise: 'none', examples: [['HTTPS_PROXY']] }
)
const maxChildren = key(f.count(1, 100_000), 'processes at once; commands only', { fallback: 64 })
const maxMemory = key(f.size, 'memory of one process (Linux); commands only', { otherwise: 'no limit' })

/** What a route may leave to `defaults`. */
const shared = {
  sessionLoss,
  headers,
  tokens: part.tokens,
  allowUnauthenticated: part.allowUnauthenticated,
  allowHosts: part.allowHosts,
  allowOrigins: part.allowOrigins,
  record,
  redactHeaders: part.redactHeaders,
  redactJson: part.redactJson
}

const URLS = ['target', 'targets'] as const
const COMMAND = ['command'] as const
const LEADS = 'one of `target`, `targets`, `command` and `tape`'

export const route = object(
  {
    path: key(f.endpointPath, 'where clients connect', { otherwise: '`/NAME/mcp`' }),
    host: key(f.host(false), 'only requests for this host come here; it is then accepted without `allowHosts`', {
      otherwise: 'any host that is accepted',
      examples: ['mcp.example.com']
    }),
    target: key(oneTarget, 'the server: a URL, or an object with one', {
      otherwise: LEADS,
      examples: ['https://mcp.example.com/mcp']
    }),
    targets: key(list(oneTarget, 'list of URLs or objects with one', 1), 'several servers that answer alike', {
      see: 'routes.NAME.target',
      otherwise: LEADS,
      examples: [['http://10.0.0.1:3001/mcp', { url: 'http://10.0.0.2:3001/mcp', weight: 2 }]]
    }),
    balance,
    health,
    command: key(
      list(f.anyText, 'list of words', 1),
      'the server: a command with its arguments, started without a shell',
      {
        otherwise: LEADS,
        examples: [['npx', '-y', '@modelcontextprotocol/server-everything']]
      }
    ),
    env: key(environment, 'variables that the command gets besides', {
      otherwise: 'none',
      examples: [{ API_KEY: '${API_KEY}' }]
    }),
    inheritEnv,
    cwd: key(f.file, 'the folder it runs in', { otherwise: "catflap's own" }),
    era: key(choice(ERAS), 'of a command: revisions it speaks', { fallback: 'auto' }),
    maxChildren,
    maxMemory,
    tape: key(either(f.file, tape), 'a tape in the place of the server: a file, or a folder with one tape a session', {
      otherwise: LEADS,
      examples: ['./tapes/docs.tape.jsonl']
    }),
    ...shared,
    passthrough: key(
      list(f.passedPath, 'list of paths'),
      'paths that are not MCP and lead to the target all the same; all below with `/*` at the end',
      { otherwise: 'none', examples: [['/health', '/.well-known/*']] }
    ),
    settings: key(part.routeSettings, 'limits and timeouts')
  },
  {
    name: 'route',
    oneOf: ['target', 'targets', 'command', 'tape'],
    goesWith: {
      balance: ['targets'],
      health: URLS,
      passthrough: URLS,
      env: COMMAND,
      inheritEnv: COMMAND,
      cwd: COMMAND,
      era: COMMAND,
      maxChildren: COMMAND,
      maxMemory: COMMAND
    },
    hints: {
      url: 'target',
      upstream: 'target',
      args: 'command',
      token: 'tokens',
      timeout: 'settings.requestTimeout',
      ca: 'target.ca',
      insecure: 'target.insecure',
      transport: 'target.transport',
      weight: 'targets[].weight',
      replay: 'tape',
      overflow: 'record.overflow',
      ...Object.fromEntries(Object.keys(settingsOf(part.routeSettings)).map(name => [name, `settings.${name}`]))
    }
  }
)

const defaults = object({
  balance: { ...balance, help: 'for routes with several targets' },
  health: { ...health, help: 'for routes to URLs', see: 'routes.NAME.health' },
  inheritEnv,
  maxChildren,
  maxMemory,
  ...shared,
  headers: { ...headers, see: 'routes.NAME.headers' },
  record: { ...record, see: 'routes.NAME.record' },
  settings: key(part.sharedSettings, 'limits and timeouts of routes and of listeners', {
    see: 'routes.NAME.settings`, `listeners[].settings'
  })
})

const listener = object({
  address: key(f.address, 'where it listens; port 0 is any free one', {
    required: true,
    examples: ['0.0.0.0:8443', '[::1]:7890']
  }),
  tls: key(
    object(
      {
        certificate: key(f.pem('certificate'), 'the certificate, and those between it and its authority', {
          required: true
        }),
        key: key(f.pem('key'), 'its private key', { required: true }),
        clientCa: key(f.pem('certificate'), 'clients must present a certificate that one of these has signed (mTLS)', {
          otherwise: 'none'
        })
      },
      { hints: { cert: 'certificate', ca: 'clientCa' } }
    ),
    'serve https, with these PEM files (or their content, through `file:` or a variable)',
    { otherwise: 'http' }
  ),
  http2: key(flag, 'HTTP/2 beside HTTP/1.1: by ALPN over TLS, with prior knowledge on clear text', { fallback: true }),
  settings: key(part.listenerSettings, 'limits and timeouts of its connections')
})

const admin = object({
  address: key(f.address, 'where operators ask and act', { fallback: '127.0.0.1:0' }),
  token: key(f.secret, 'what they must present', { otherwise: 'one is made up, and printed at the start' }),
  allowHosts: part.allowHosts
})

const metrics = object({
  address: key(f.address, 'serve metrics to Prometheus at `/metrics`', {
    required: true,
    examples: ['127.0.0.1:9464']
  }),
  maxNames: key(
    f.count(0, MAX_NAMES),
    'names of tools, of prompts, and of methods that MCP does not define, that become labels; further ones are `other`',
    { fallback: 100 }
  ),
  tokens: { ...part.tokens, help: 'a scrape must present one of them', examples: [['${SCRAPE_TOKEN}']] },
  allowUnauthenticated: { ...part.allowUnauthenticated, help: 'serve other machines without a token' },
  allowHosts: part.allowHosts
})

/** The whole file. */
export const file = object(
  {
    $schema: key(
      text({ type: 'text', pattern: '[\\s\\S]*', allowed: 'text', secrecy: 'never' }),
      'for editors; catflap does not read it',
      {
        otherwise: 'none'
      }
    ),
    listeners: key(list(listener, 'list of listeners', 1), 'where clients connect', {
      otherwise: 'one, at 127.0.0.1:7890'
    }),
    routes: key(
      named(route, {
        what: 'names and routes',
        names: '[a-z0-9][a-z0-9_-]{0,63}',
        allowed: 'a name of at most 64 letters (a-z), digits, _ and -, beginning with a letter or a digit',
        min: 1,
        suffix: '.NAME'
      }),
      'where each name leads',
      { required: true }
    ),
    defaults: key(defaults, 'what holds for all routes that do not say otherwise', { otherwise: 'none' }),
    sessions: key(
      object({ store: key(choice(['memory']), 'where sessions are kept', { fallback: 'memory' }) }),
      'sessions of all routes'
    ),
    store: key(store, 'keep the sessions of all routes in Redis, which several catflaps share', {
      otherwise: 'they are kept in memory'
    }),
    cluster: key(cluster, 'the way between these catflaps, for what only one of them can do (its commands)', {
      otherwise: 'there is none'
    }),
    admin: key(admin, 'probes, status, sessions, drain: always with a token', { otherwise: 'none is served' }),
    metrics: key(metrics, 'metrics on an address of their own', { otherwise: 'none are served there' }),
    accessLog: key(choice(['text', 'json', 'off']), 'a line for each exchange', { fallback: 'off' }),
    log: key(
      object({
        level: key(choice(LOG_LEVELS), 'how much is logged, on stderr', { fallback: 'info' }),
        format: key(choice(['text', 'json']), 'how it is logged', { fallback: 'text' })
      }),
      'what catflap says of itself'
    ),
    trustedProxies: key(
      list(f.network, 'list of addresses and networks'),
      'proxies in front of catflap whose `Forwarded`, `X-Forwarded-*` and `Via` are believed',
      { otherwise: 'none', examples: [['10.0.0.0/8', '::1']] }
    ),
    via: key(offOr(f.pseudonym), "catflap's name in `Via` and `Forwarded`; false: neither is added", {
      fallback: 'catflap'
    }),
    drainTimeout: key(f.duration(true), 'wait for requests in flight when catflap stops', { fallback: '10s' }),
    drainGrace: key(
      f.duration(true),
      'before that: not ready any more, but serving as ever, so that load balancers see it',
      {
        fallback: '0s'
      }
    )
  },
  {
    hints: {
      listen: 'listeners',
      listener: 'listeners',
      servers: 'routes',
      mcpServers: 'routes',
      token: 'defaults.tokens',
      tokens: 'defaults.tokens',
      settings: 'defaults.settings',
      redis: 'store',
      sharedStore: 'store',
      lease: 'store.lease',
      peers: 'cluster',
      '<<': 'defaults'
    }
  }
)

export type FileValues = ReadValue<typeof file>
export type RouteValues = ReadValue<typeof route>
export type TargetValues = Exclude<ReadValue<typeof oneTarget>, string>
export type ReadValue<S> = S extends Shape<infer T> ? T : never

function settingsOf(shape: Shape<unknown>): Readonly<Record<string, unknown>> {
  return shape.below && 'keys' in shape.below ? shape.below.keys : {}
}

/** For editors: JSON Schema, draft 2020-12. */
export function jsonSchema(): Json {
  const definitions: Definitions = new Map()
  const whole = file.json(definitions)
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'catflap: the configuration of a reverse proxy',
    ...whole,
    $defs: Object.fromEntries(definitions)
  }
}
