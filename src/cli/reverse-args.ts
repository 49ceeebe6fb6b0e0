import { mayListen } from '../proxy/bind.ts'
import { checkHost, checkOrigin } from '../proxy/check-options.ts'
import { SETTINGS } from '../proxy/options.ts'
import {
  LISTENER_SETTINGS,
  type ListenerOptions,
  type ReverseMetrics,
  type ReverseOptions,
  type RouteOptions
} from '../proxy/reverse-options.ts'
import { adminToken } from './admin-token.ts'
import { listenOf, named, settingsOf } from './forward-args.ts'
import { DEFAULT_LISTEN, optionName } from './forward-options.ts'
import { REVERSE_OPTIONS, type ReverseArgs } from './reverse-options.ts'
import { sharingOf } from './store-args.ts'
import { UsageError } from './usage.ts'

/** What the arguments mean, where no file is given. Throws UsageError, which names the option and shows the right form. */
export function reverseOptionsOf(args: ReverseArgs): ReverseOptions {
  const tokens = [...args.token, ...(process.env.CATFLAP_TOKEN ? [process.env.CATFLAP_TOKEN] : [])]
  if (tokens.some(t => t === '')) throw new UsageError("--token '' is empty; give a secret: --token SECRET")
  const settings = settingsOf(args as unknown as Record<string, unknown>)
  const own = Object.fromEntries(LISTENER_SETTINGS.map(name => [name, settings[name]]))
  const listeners = (args.listen.length > 0 ? args.listen : [DEFAULT_LISTEN]).map(
    (text): ListenerOptions => ({ ...listenOf('--listen', text), settings: own })
  )
  const access = { tokens, allowUnauthenticated: args['allow-unauthenticated'] }
  for (const { host } of listeners)
    if (!mayListen(host!, access))
      throw new UsageError(
        `--listen ${host}: other machines can reach this; add --token SECRET (or CATFLAP_TOKEN), or --allow-unauthenticated if that is wanted`
      )
  for (const host of args['allow-host']) named('--allow-host', () => checkHost(host))
  for (const origin of args['allow-origin']) named('--allow-origin', () => checkOrigin(origin))
  const { 'session-loss': sessionLoss, 'allow-host': allowHosts, 'allow-origin': allowOrigins } = args
  const shared = { ...access, allowHosts, allowOrigins, settings, sessionLoss }
  const routes = routesOf(args.routes ?? [])
  return {
    listeners,
    routes: Object.fromEntries([...routes].map(([name, targets]) => [name, { ...shared, targets }])),
    via: args.via === false || args.via === '' ? false : String(args.via),
    drainTimeout: settings.drainTimeout,
    live: args.tail,
    ...(args.metrics !== undefined && { metrics: metricsOf(args.metrics, access) }),
    ...(args.admin !== undefined && { admin: { ...listenOf('--admin', args.admin), ...adminToken() } }),
    ...sharingOf(args)
  }
}

function metricsOf(text: string, access: { tokens: readonly string[]; allowUnauthenticated: boolean }): ReverseMetrics {
  const address = listenOf('--metrics', text)
  if (mayListen(address.host, access)) return { ...address, ...access }
  throw new UsageError(
    `--metrics ${text}: other machines can reach this; add --token SECRET, or --allow-unauthenticated`
  )
}

/** What a file says is said there, and nowhere else. */
export function onlyConfig(args: ReverseArgs): void {
  for (const [name, value] of Object.entries(args)) {
    const known = Object.hasOwn(facts, name) || settingNames.has(name)
    if (!known || BESIDE_FILE.includes(name) || value === undefined) continue
    if (Array.isArray(value) ? value.length > 0 : value !== facts[name]?.default)
      throw new UsageError(`--${name} and --config exclude each other: say it in the file`)
  }
  if ((args.routes ?? []).length > 0)
    throw new UsageError('name=url and --config exclude each other: say it in the file')
}

/** What is about the one who starts it rather than about what is served. */
const BESIDE_FILE: readonly string[] = ['config', 'log-level', 'log-format', 'tail']
const facts = REVERSE_OPTIONS as Readonly<Record<string, { readonly default?: unknown }>>
const settingNames: ReadonlySet<string> = new Set(Object.keys(SETTINGS).map(optionName))

function routesOf(given: readonly string[]): Map<string, RouteOptions['targets']> {
  if (given.length === 0)
    throw new UsageError("no route given: 'catflap reverse docs=http://127.0.0.1:3001/mcp', or --config FILE")
  const routes = new Map<string, RouteOptions['targets']>()
  for (const text of given) {
    const at = text.indexOf('=')
    const [name, url] = [text.slice(0, at), text.slice(at + 1)]
    if (at < 1 || !/^[a-z0-9_-]{1,64}$/i.test(name))
      throw new UsageError(`'${text}' is no route; write NAME=URL with a name of letters, digits, - and _`)
    if (routes.has(name)) throw new UsageError(`route '${name}' is given more than once; give it once`)
    routes.set(name, targetsOf(name, url))
  }
  return routes
}

function targetsOf(name: string, text: string): RouteOptions['targets'] {
  const tape = text.startsWith('tape:') ? text.slice('tape:'.length) : undefined
  if (tape === '') throw new UsageError(`'${name}=tape:' names no file; write ${name}=tape:FILE`)
  if (tape !== undefined) return { tape }
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol))
    throw new UsageError(`'${name}=…' leads to no http or https URL, nor to tape:FILE; a command needs --config FILE`)
  return [{ url: text }]
}
