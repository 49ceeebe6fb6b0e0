import type { Argv, Options } from 'yargs'
import { LOG_LEVELS, type LogLevel } from '../log.ts'
import { SETTINGS } from '../proxy/options.ts'
import { STORE_GROUP, STORE_NAMES, STORE_OPTIONS, type StoreArgs } from './store-options.ts'

export interface ForwardArgs extends StoreArgs {
  url?: string
  '--'?: string[]
  listen?: string
  stdio: boolean
  path: string
  header: string[]
  env: string[]
  cwd?: string
  record?: string
  'record-overflow': 'block' | 'drop'
  'record-max-message'?: string
  'redact-header': string[]
  'redact-json': string[]
  token: string[]
  'allow-unauthenticated': boolean
  'allow-host': string[]
  'allow-origin': string[]
  ca?: string
  insecure: boolean
  'upstream-transport': 'auto' | 'streamable-http' | 'sse'
  'upstream-era': 'auto' | 'legacy' | 'modern'
  'session-loss'?: 'reinitialize' | 'propagate'
  via: string | boolean
  tail: boolean
  metrics?: string
  admin?: string
  'metrics-max-names'?: string
  'log-level': LogLevel
  'log-format': 'text' | 'json'
}

/** Whatever is not listed here has one value. */
export const REPEATABLE: readonly string[] = [
  'header',
  'env',
  'token',
  'allow-host',
  'allow-origin',
  'redact-header',
  'redact-json',
  'store-key',
  'cluster-key'
]

export const DEFAULT_LISTEN = '127.0.0.1:7890'

/** All but the settings (src/proxy/options.ts). */
export const OPTIONS = {
  listen: {
    type: 'string',
    requiresArg: true,
    describe: 'where clients connect, [host:]port; port 0 = any free one',
    defaultDescription: DEFAULT_LISTEN
  },
  stdio: {
    type: 'boolean',
    default: false,
    describe: "serve one client on catflap's own stdin and stdout"
  },
  path: { type: 'string', requiresArg: true, default: '/mcp', describe: 'path of the endpoint' },
  header: list("'Name: value', sent to the server with every request; repeatable"),
  env: list('NAME=value, added to the environment of the command; repeatable'),
  cwd: { type: 'string', requiresArg: true, describe: 'folder the command runs in' },
  ca: { type: 'string', requiresArg: true, describe: 'PEM file of a certificate authority to trust' },
  insecure: { type: 'boolean', default: false, describe: "do not verify the server's certificate" },
  'upstream-transport': {
    choices: ['auto', 'streamable-http', 'sse'],
    default: 'auto',
    requiresArg: true,
    describe: 'what the URL speaks; auto finds out, sse is the old HTTP+SSE'
  },
  'upstream-era': {
    choices: ['auto', 'legacy', 'modern'],
    default: 'auto',
    requiresArg: true,
    describe: 'revisions the server speaks: up to 2025-11-25 (legacy), from 2026-07-28 (modern)'
  },
  'session-loss': {
    choices: ['reinitialize', 'propagate'],
    requiresArg: true,
    describe: 'when the server has lost a session: begin it anew there, or let the client do so',
    defaultDescription: 'reinitialize for a URL, propagate for a command'
  },
  via: { type: 'string', default: 'catflap', describe: 'name in the Via header; --no-via adds none' },
  token: list(
    'clients must present it: Catflap-Token or Authorization: Bearer; better by CATFLAP_TOKEN (ps shows arguments)'
  ),
  'allow-unauthenticated': {
    type: 'boolean',
    default: false,
    describe: 'listen beyond loopback without a token'
  },
  'allow-host': list('a Host header to accept besides loopback names; repeatable'),
  'allow-origin': list(
    'an Origin to accept besides loopback ones, like https://app.example; preflights (CORS) are not answered; repeatable'
  ),
  'log-level': {
    choices: LOG_LEVELS,
    default: 'info' as LogLevel,
    requiresArg: true,
    describe: 'how much is logged on stderr'
  },
  'log-format': {
    choices: ['text', 'json'],
    default: 'text' as 'text' | 'json',
    requiresArg: true,
    describe: 'how it is logged'
  },
  metrics: {
    type: 'string',
    requiresArg: true,
    describe: 'serve metrics for Prometheus at /metrics, [host:]port; port 0 = any free one',
    defaultDescription: 'off'
  },
  'metrics-max-names': {
    type: 'string',
    requiresArg: true,
    describe: 'names of tools, of prompts and of unknown methods that become labels; further ones are other',
    defaultDescription: '100'
  },
  admin: {
    type: 'string',
    requiresArg: true,
    describe:
      'serve probes, status, sessions and drain to operators, [host:]port; the token (CATFLAP_ADMIN_TOKEN) is printed',
    defaultDescription: 'off'
  },
  tail: { type: 'boolean', default: true, describe: 'let catflap tail watch; --no-tail does not' },
  record: {
    type: 'string',
    describe: 'write a tape: a new file, or a folder with one tape a session',
    defaultDescription: 'off; bare: the default folder'
  },
  'record-overflow': {
    choices: ['block', 'drop'],
    default: 'block',
    requiresArg: true,
    describe:
      'when the disk is too slow: traffic waits, or frames are dropped, counted and marked (what cannot wait is, in any case, at twice the bound)'
  },
  'record-max-message': {
    type: 'string',
    requiresArg: true,
    describe: 'longer messages are kept as a prefix, length and SHA-256',
    defaultDescription: '8M'
  },
  'redact-header': list('a header whose value is kept out of tapes, besides the built-in ones; repeatable'),
  'redact-json': list('a JSON pointer (/params/arguments/password; * for any member) kept out of tapes; repeatable'),
  ...STORE_OPTIONS
} satisfies Record<string, Options>

/** Options of forward and reverse alike, as their help shows them. */
export const SHARED = [
  'token',
  'allow-unauthenticated',
  'allow-host',
  'allow-origin',
  'via',
  'session-loss',
  'metrics',
  'admin',
  'tail',
  'log-level',
  'log-format',
  ...STORE_NAMES
] as const

/** Every option of `catflap forward`, as its help shows it. */
export function forwardOptions(args: Argv): Argv<ForwardArgs> {
  grouped(args)
    .usage(
      '$0 forward [options] <url>\n$0 forward [options] -- <command> [args…]\n\nForwards clients to one MCP server: a URL (Streamable HTTP or the older HTTP+SSE), a command (stdio), which catflap starts,\nor a tape in its place (tape:FILE; see catflap replay).\nClients of HTTP+SSE connect to /sse beside the endpoint.'
    )
    .positional('url', { type: 'string', describe: "the server's URL; or give its command after --" })
    .options(OPTIONS)
    .example('$0 forward http://127.0.0.1:3001/mcp', 'clients connect to http://127.0.0.1:7890/mcp')
    .example('$0 forward --record ./tapes/ http://127.0.0.1:3001/mcp', 'one tape a session in ./tapes/')
    .example('$0 forward --stdio -- npx -y @modelcontextprotocol/server-everything', 'as the command of a client')
    .example('$0 forward --listen 8080 -- node server.js', 'a stdio server, served over HTTP')
    .example('$0 forward --stdio https://mcp.example/mcp', 'a server over HTTP, as the command of a client')
    .example(
      '$0 forward --store redis://10.0.0.5 --store-key store.key --cluster-listen 10.0.0.1:7892 --cluster-key cluster.key -- node server.js',
      'one of several catflaps that serve the same sessions; store.key: openssl rand -hex 32'
    )
  return settingOptions(args) as unknown as Argv<ForwardArgs>
}

/** What people look for comes first in the help; yargs would put its own group of the rest last. */
function grouped(args: Argv): Argv {
  return args
    .group(
      [
        ...['listen', 'stdio', 'path', 'header', 'env', 'cwd', 'ca', 'insecure'],
        ...['upstream-transport', 'upstream-era', 'session-loss', 'via']
      ],
      'Clients and server:'
    )
    .group(
      ['record', 'record-overflow', 'record-max-message', 'redact-header', 'redact-json', 'tail'],
      'Recording and watching:'
    )
    .group(['token', 'allow-unauthenticated', 'allow-host', 'allow-origin'], 'Who may come in:')
    .group(['log-level', 'log-format', 'metrics', 'metrics-max-names', 'admin'], 'Log, metrics and operators:')
    .group(STORE_NAMES, STORE_GROUP)
}

function list(describe: string): {
  type: 'string'
  array: true
  nargs: 1
  default: string[]
  defaultDescription: string
  describe: string
} {
  return { type: 'string', array: true, nargs: 1, default: [], defaultDescription: 'none', describe }
}

export function settingOptions(args: Argv): Argv {
  for (const [name, setting] of Object.entries(SETTINGS)) {
    args.option(optionName(name), {
      type: 'string',
      requiresArg: true,
      group: 'Limits and timeouts:',
      describe: setting.help,
      defaultDescription: shown(setting.value, setting.unit)
    })
  }
  return args
}

export function optionName(setting: string): string {
  return setting.replace(/[A-Z]/g, c => `-${c.toLowerCase()}`)
}

function shown(value: number, unit: 'ms' | 'bytes' | 'count'): string {
  if (unit === 'count') return String(value)
  if (unit === 'bytes') return value % 1048576 === 0 ? `${value / 1048576}M` : `${value / 1024}k`
  if (value === 0) return 'off'
  return value % 3_600_000 === 0
    ? `${value / 3_600_000}h`
    : value % 60_000 === 0
      ? `${value / 60_000}m`
      : `${value / 1000}s`
}
