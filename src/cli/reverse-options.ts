import type { Argv, Options } from 'yargs'
import type { LogLevel } from '../log.ts'
import { DEFAULT_LISTEN, OPTIONS, SHARED, settingOptions } from './forward-options.ts'
import { STORE_GROUP, STORE_NAMES, type StoreArgs } from './store-options.ts'

export interface ReverseArgs extends StoreArgs {
  routes?: string[]
  config?: string
  listen: string[]
  token: string[]
  'allow-unauthenticated': boolean
  'allow-host': string[]
  'allow-origin': string[]
  via: string | boolean
  tail: boolean
  'session-loss'?: 'reinitialize' | 'propagate'
  admin?: string
  metrics?: string
  'access-log': 'text' | 'json' | 'off'
  /** Undefined: as a file says, or else the default. */
  'log-level': LogLevel | undefined
  'log-format': 'text' | 'json' | undefined
}

/** All but the settings (src/proxy/options.ts). */
export const REVERSE_OPTIONS = {
  config: {
    type: 'string',
    requiresArg: true,
    describe: 'a file (YAML or JSON) that says all of this and more; SIGHUP and its changes are followed'
  },
  listen: {
    type: 'string',
    array: true,
    nargs: 1,
    default: [],
    defaultDescription: DEFAULT_LISTEN,
    describe: 'where clients connect, [host:]port; port 0 = any free one; repeatable'
  },
  'access-log': {
    choices: ['text', 'json', 'off'],
    default: 'off',
    requiresArg: true,
    describe: 'a line on stdout for each exchange'
  },
  ...Object.fromEntries(SHARED.map(name => [name, OPTIONS[name]])),
  'log-level': unset(OPTIONS['log-level']),
  'log-format': unset(OPTIONS['log-format'])
} satisfies Record<string, Options>

/** So that saying the default differs from saying nothing. */
function unset({ default: usual, ...option }: Options): Options {
  return { ...option, defaultDescription: String(usual) }
}

/** Every option of `catflap reverse`, as its help shows it. */
export function reverseOptions(args: Argv): Argv<ReverseArgs> {
  const options = args
    .usage(
      '$0 reverse [options] name=url [name=url …]\n$0 reverse --config FILE\n\nOne front for many MCP servers: each is served at /NAME/mcp. A file can say more: several servers for one\nroute, commands, TLS, header rules (see catflap config --help).'
    )
    .positional('routes', { type: 'string', array: true, describe: "a name and the server's URL: docs=http://…" })
    .options(REVERSE_OPTIONS)
    .group(['config', 'listen', 'via', 'session-loss'], 'Clients and servers:')
    .group(['token', 'allow-unauthenticated', 'allow-host', 'allow-origin'], 'Who may come in:')
    .group(['log-level', 'log-format', 'access-log', 'metrics', 'admin', 'tail'], 'Log, metrics and operators:')
    .group(STORE_NAMES, STORE_GROUP)
    .example(
      '$0 reverse docs=http://127.0.0.1:3001/mcp shop=http://127.0.0.1:3002/mcp',
      'served at http://127.0.0.1:7890/docs/mcp and /shop/mcp'
    )
    .example('$0 reverse --config catflap.yaml', 'as the file says')
    .example(
      '$0 reverse --store redis://10.0.0.5 --store-key store.key docs=http://10.0.0.9:3001/mcp',
      'one of several catflaps that serve the same sessions; store.key: openssl rand -hex 32'
    )
  return settingOptions(options) as unknown as Argv<ReverseArgs>
}
