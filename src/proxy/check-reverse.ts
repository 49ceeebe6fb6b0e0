import { bareHost } from '../interceptors/admission.ts'
import { mayListen } from './bind.ts'
import { checkHost, checkOrigin, checkTarget, fail, isTaken } from './check-options.ts'
import { checkShared } from './check-shared.ts'
import { settings } from './options.ts'
import type { ListenerOptions, ReverseOptions, RouteOptions } from './reverse-options.ts'
import { routeSsePaths } from './serve-sse.ts'

/**
 * Options that cannot be meant are refused before anything is opened. Throws a TypeError that names the option, the value and
 * what is allowed.
 */
export function checkReverse(options: ReverseOptions): void {
  const names = Object.keys(options.routes ?? {})
  if (names.length === 0) fail('routes', options.routes, "at least one: { docs: { targets: [{ url: 'http://…' }] } }")
  const taken = new Map<string, string>()
  const stores = new Map<unknown, string>()
  for (const [name, route] of Object.entries(options.routes)) {
    if (!/^[a-z0-9_-]{1,64}$/i.test(name)) fail('routes', name, 'a name of letters, digits, - and _ (at most 64)')
    checkRoute(name, route, options.listeners ?? [{}])
    if (route.store && options.sharedStore)
      throw new TypeError(`routes.${name}.store and sharedStore exclude each other: give one of them`)
    const sharer = route.store && stores.get(route.store)
    if (sharer !== undefined)
      throw new TypeError(
        `routes.${name}.store: route '${sharer}' has it; each needs one of its own, or a session of one would be known on the other`
      )
    if (route.store) stores.set(route.store, name)
    const path = route.path ?? `/${name}/mcp`
    const { stream, messages } = routeSsePaths(path)
    for (const one of [path, stream, messages]) {
      const place = `${route.host === undefined ? '*' : bareHost(route.host)} ${one}`
      const other = taken.get(place)
      if (other !== undefined) fail(`routes.${name}.path`, path, `a path that route '${other}' does not use (${one})`)
      taken.set(place, name)
    }
  }
  for (const [i, listener] of (options.listeners ?? []).entries()) checkListener(i, listener)
  checkShared(options)
}

function checkRoute(name: string, route: RouteOptions, listeners: readonly ListenerOptions[]): void {
  const at = `routes.${name}`
  const targets = Array.isArray(route.targets) ? route.targets : [route.targets]
  if (targets.length === 0) fail(`${at}.targets`, route.targets, 'at least one')
  for (const target of targets) checkTarget(target)
  if (
    route.path !== undefined &&
    (!/^\/[\x21-\x7e]*$/.test(route.path) || /[?#]/.test(route.path) || isTaken(route.path))
  )
    fail(`${at}.path`, route.path, "a path like '/docs/mcp', which does not end in /sse or /messages")
  if (route.host !== undefined) checkHost(route.host)
  for (const host of route.allowHosts ?? []) checkHost(host)
  for (const origin of route.allowOrigins ?? []) checkOrigin(origin)
  for (const token of route.tokens ?? [])
    if (typeof token !== 'string' || token === '') fail(`${at}.tokens`, '…', 'a secret')
  settings(route.settings)
  for (const { host = '127.0.0.1', tls } of listeners)
    if (!mayListen(host, route) && tls?.clientCa === undefined)
      throw new TypeError(
        `${at}: '${host}' can be reached from other machines; the route needs tokens, or allowUnauthenticated`
      )
}

function checkListener(i: number, { host, port = 0, settings: own }: ListenerOptions): void {
  if (host !== undefined && (typeof host !== 'string' || host === ''))
    fail(`listeners[${i}].host`, host, 'an address of this machine')
  if (!(Number.isInteger(port) && port >= 0 && port <= 65_535))
    fail(`listeners[${i}].port`, port, 'a whole number from 0 (any free one) to 65535')
  settings(own)
}
