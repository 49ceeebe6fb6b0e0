import { LISTENER_SETTINGS } from '../proxy/reverse-options.ts'
import type { FileValues, RouteValues } from './schema.ts'

type Defaults = NonNullable<FileValues['defaults']>

/**
 * A route with what it leaves to the defaults: its own value takes the place of the default of the same name, whole; only
 * `settings`, `health` and `headers` are joined key by key, the route's own first. Defaults that are about URLs do not reach
 * commands, nor the other way round.
 */
export function merged(route: RouteValues, defaults: Defaults = {}): RouteValues {
  const { settings, health, headers, balance, inheritEnv, maxChildren, maxMemory, ...plain } = defaults
  const isCommand = route.command !== undefined
  const isUrl = !isCommand && route.tape === undefined
  return {
    ...plain,
    ...(isCommand ? { inheritEnv, maxChildren, maxMemory } : {}),
    ...(route.targets && { balance }),
    ...route,
    settings: { ...routeOnly(settings ?? {}), ...route.settings },
    ...(isUrl && { health: { ...health, ...route.health } }),
    headers: { ...headers, ...route.headers }
  }
}

/** Those about connections are the listeners'. */
function routeOnly(settings: NonNullable<Defaults['settings']>): NonNullable<RouteValues['settings']> {
  const isListeners = (name: string): boolean => (LISTENER_SETTINGS as readonly string[]).includes(name)
  return Object.fromEntries(Object.entries(settings).filter(([name]) => !isListeners(name)))
}

type Listener = NonNullable<FileValues['listeners']>[number]

/** Settings of a listener: its own, else the defaults that are about connections. */
export function listenerSettings(listener: Listener, defaults: Defaults = {}): NonNullable<Listener['settings']> {
  const { settings = {} } = defaults
  const given = LISTENER_SETTINGS.filter(name => settings[name] !== undefined).map(
    name => [name, settings[name]] as const
  )
  return { ...Object.fromEntries(given), ...listener.settings }
}
