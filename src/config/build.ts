import type { LogLevel } from '../log.ts'
import type { MetricsOptions } from '../proxy/metering.ts'
import type {
  CommandRoute,
  HeaderRules,
  HealthOptions,
  ListenerOptions,
  ReverseOptions,
  RouteOptions
} from '../proxy/reverse-options.ts'
import { secretsOf, sharedSecrets } from '../proxy/secrets.ts'
import type { UrlTarget } from '../proxy/target.ts'
import type { TapeTargetOptions } from '../replay/options.ts'
import { listenerSettings, merged } from './merge.ts'
import type { FileValues, RouteValues, TargetValues } from './schema.ts'

/** What a configuration file asks for. */
export interface Configuration {
  readonly options: ReverseOptions
  readonly log: { readonly level: LogLevel; readonly format: 'text' | 'json' }
  readonly accessLog: 'text' | 'json' | 'off'
  readonly metrics: FileMetrics | undefined
  /** All that must not be seen in logs and on tapes. */
  readonly secrets: readonly string[]
}

/** Metrics on an address of their own. */
export interface FileMetrics extends MetricsOptions {
  readonly host: string
  readonly port: number
  readonly tokens: readonly string[]
  readonly allowUnauthenticated: boolean
  readonly allowHosts: readonly string[]
}

const LOCAL = { host: '127.0.0.1', port: 0 }
export const DEFAULT_LISTENER = { host: '127.0.0.1', port: 7890 }

/** Of values in which no problem was found. */
export function configurationOf(values: FileValues, secrets: readonly string[]): Configuration {
  const { admin, log, trustedProxies, via, drainTimeout, drainGrace, accessLog = 'off' } = values
  const options: ReverseOptions = {
    listeners: values.listeners?.map(listener => listenerOf(listener, values)) ?? [
      { ...DEFAULT_LISTENER, settings: listenerSettings({}, values.defaults) }
    ],
    routes: Object.fromEntries(
      Object.entries(values.routes ?? {}).map(([name, route]) => [name, routeOf(merged(route, values.defaults))])
    ),
    ...given({ trustedProxies, via, drainTimeout, drainGrace }),
    ...sharingOf(values),
    ...(admin && {
      admin: { ...(admin.address ?? LOCAL), ...given({ token: admin.token, allowHosts: admin.allowHosts }) }
    })
  }
  const all = [...new Set([...secrets, ...secretsIn(options, values)])]
  return {
    options: { ...options, ...(all.length > 0 && { secrets: all }) },
    log: { level: log?.level ?? 'info', format: log?.format ?? 'text' },
    accessLog,
    metrics: metricsOf(values),
    secrets: all
  }
}

function sharingOf({ store, cluster }: FileValues): Pick<ReverseOptions, 'sharedStore' | 'cluster'> {
  if (!store) return {}
  const { url, failure, ...rest } = store
  const sharedStore = { url: url!, ...given({ onFailure: failure, ...rest }) }
  if (!cluster) return { sharedStore }
  const { listen, address, keys = [] } = cluster
  return { sharedStore, cluster: { listen: listen ?? LOCAL, keys, ...given({ address }) } }
}

function listenerOf(listener: NonNullable<FileValues['listeners']>[number], { defaults }: FileValues): ListenerOptions {
  const { tls, http2 } = listener
  return {
    ...(listener.address ?? LOCAL),
    ...(tls && { tls: { certificate: tls.certificate!, key: tls.key!, ...given({ clientCa: tls.clientCa }) } }),
    ...given({ http2 }),
    settings: listenerSettings(listener, defaults)
  }
}

function routeOf(route: RouteValues): RouteOptions {
  const { path, host, balance, sessionLoss, headers, settings, passthrough } = route
  const { tokens, allowUnauthenticated, allowHosts, allowOrigins, redactHeaders, redactJson } = route
  return {
    targets: targetsOf(route),
    ...given({ path, host, balance, sessionLoss, passthrough, settings }),
    ...given({ tokens, allowUnauthenticated, allowHosts, allowOrigins, redactHeaders, redactJson }),
    ...(route.health && Object.keys(route.health).length > 0 && { health: route.health as HealthOptions }),
    ...(headers &&
      Object.keys(headers).length > 0 && { headers: headers as Record<'request' | 'response', HeaderRules> }),
    ...(route.record && {
      record: typeof route.record === 'string' ? { path: route.record } : { ...route.record, path: route.record.path! }
    })
  }
}

function targetsOf({ command, target, targets, tape, ...route }: RouteValues): RouteOptions['targets'] {
  if (tape !== undefined) return tapeTargetOf(tape)
  if (command) {
    const [first = '', ...args] = command
    const { env, inheritEnv, cwd, era, maxChildren, maxMemory } = route
    return { command: first, args, ...given({ env, inheritEnv, cwd, era, maxChildren, maxMemory }) }
  }
  return (target === undefined ? (targets ?? []) : [target]).map(one =>
    typeof one === 'string' ? { url: one } : targetOf(one)
  )
}

function tapeTargetOf(tape: NonNullable<RouteValues['tape']>): TapeTargetOptions {
  if (typeof tape === 'string') return { tape }
  const { files, onMiss, record, speed, ...rest } = tape
  return {
    tape: files!,
    ...given(rest),
    ...(onMiss !== undefined && { onMiss: { url: onMiss, ...given({ record }) } }),
    ...(speed !== undefined && { speed })
  }
}

function targetOf({
  url,
  headers,
  weight,
  ca,
  insecure,
  transport,
  era
}: TargetValues): UrlTarget & { weight?: number } {
  return {
    url: url!,
    ...(headers && { headers: Object.entries(headers).flat() }),
    ...given({ weight, ca, insecure, transport, era })
  }
}

function metricsOf({ metrics }: FileValues): FileMetrics | undefined {
  if (!metrics?.address) return undefined
  const { address, maxNames, tokens = [], allowUnauthenticated = false, allowHosts = [] } = metrics
  return { ...address, ...given({ maxNames }), tokens, allowUnauthenticated, allowHosts }
}

function secretsIn({ routes, ...shared }: ReverseOptions, { admin, metrics }: FileValues): string[] {
  const ofRoutes = Object.values(routes).flatMap(({ tokens = [], targets }) =>
    !Array.isArray(targets)
      ? secretsOf({ tokens, target: targets as CommandRoute | TapeTargetOptions })
      : targets.flatMap(target => secretsOf({ tokens, target }))
  )
  return [
    ...ofRoutes,
    ...sharedSecrets(shared),
    ...(metrics?.tokens ?? []),
    ...(admin?.token === undefined ? [] : [admin.token])
  ]
}

/** Without what is undefined: the options tell "not given" by a missing key. */
function given<T extends object>(values: T): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: NonNullable<T[K]>
  }
}
