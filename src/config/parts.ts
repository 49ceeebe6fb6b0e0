// biome-ignore-all lint/suspicious/noTemplateCurlyInString: references of configuration files look like that
import { SETTINGS, type SettingName } from '../proxy/options.ts'
import { LISTENER_SETTINGS, type ListenerSetting } from '../proxy/reverse-options.ts'
import * as f from './formats.ts'
import type { Path } from './problems.ts'
import type { Reader } from './reader.ts'
import { choice, flag } from './scalars.ts'
import { type Key, key, list, named, object, type Shape } from './shape.ts'
import type { MapNode } from './tree.ts'
import { written } from './written.ts'

/** Parts of the file that stand in several places. */

/** Of the settings, those about the whole process: it has a key of its own. */
type OwnKey = 'drainTimeout'
export type RouteSetting = Exclude<SettingName, ListenerSetting | OwnKey>

const names = Object.keys(SETTINGS) as SettingName[]
const isListeners = (name: SettingName): name is ListenerSetting =>
  (LISTENER_SETTINGS as readonly string[]).includes(name)
const shared = names.filter(name => name !== 'drainTimeout')
const routeNames = shared.filter(name => !isListeners(name)) as RouteSetting[]

const DRAIN_HINT = { drainTimeout: 'drainTimeout at the top of the file' }

export const routeSettings = settings(routeNames, 'routeSettings', {
  ...Object.fromEntries(LISTENER_SETTINGS.map(name => [name, `listeners[].settings.${name}`])),
  ...DRAIN_HINT
})
export const listenerSettings = settings(LISTENER_SETTINGS, 'listenerSettings', {
  ...Object.fromEntries(routeNames.map(name => [name, `routes.NAME.settings.${name}`])),
  ...DRAIN_HINT
})
export const sharedSettings = settings(shared, 'sharedSettings', DRAIN_HINT)

function settings<N extends SettingName>(
  of: readonly N[],
  name: string,
  hints: Readonly<Record<string, string>>
): Shape<{ readonly [K in N]?: number }> {
  const keys = Object.fromEntries(of.map(one => [one, settingKey(one)])) as Record<N, Key<number>>
  return object(keys, { name, hints }) as Shape<{ readonly [K in N]?: number }>
}

function settingKey(name: SettingName): Key<number> {
  const { help, value, unit } = SETTINGS[name]
  return key(f.setting(name), help, { fallback: written(value, unit) })
}

export const tokens = key(
  list(f.secret, 'list of secrets'),
  'clients must present one of them, as `Catflap-Token` or as `Authorization: Bearer`',
  {
    otherwise: 'none',
    examples: [['${CATFLAP_TOKEN}'], ['file:/run/secrets/catflap-token']]
  }
)
export const allowUnauthenticated = key(flag, 'serve clients of other machines without a token', { fallback: false })
export const allowHosts = key(list(f.host(true), 'list of hosts'), 'further names in `Host` to accept; `*` for any', {
  otherwise: 'loopback names',
  examples: [['mcp.example.com']]
})
export const allowOrigins = key(
  list(f.origin, 'list of origins'),
  'further values of `Origin` to accept; `*` for any',
  {
    otherwise: 'loopback origins',
    examples: [['https://app.example']]
  }
)
export const redactHeaders = key(
  list(f.headerName, 'list of header names'),
  'headers whose values are kept out of tapes and logs, besides the built-in ones',
  { otherwise: 'none', examples: [['X-Customer']] }
)
export const redactJson = key(
  list(f.pointer, 'list of JSON pointers'),
  'parts of messages that are kept out of tapes; `*` for any member',
  { otherwise: 'none', examples: [['/params/arguments/password']] }
)

const check = object(
  {
    kind: key(
      choice(['http', 'discover', 'session']),
      'how it is asked: a GET that answers 2xx or 3xx; `server/discover` (servers of 2026-07-28); or a session of its own with `ping` (servers before)',
      { required: true }
    ),
    path: key(f.passedPath, "of `http`: what is asked for, on the target's origin", { fallback: '/' }),
    interval: key(f.duration(), 'time between two checks', { fallback: '10s' }),
    timeout: key(f.duration(), 'wait for the answer', { fallback: '3s' }),
    unhealthyAfter: key(f.count(1, 1000), 'failures in a row until the target counts as down', { fallback: 3 }),
    healthyAfter: key(f.count(1, 1000), 'successes in a row until it counts as up again', { fallback: 1 })
  },
  { name: 'healthCheck', check: pathNeedsHttp }
)

function pathNeedsHttp(node: MapNode, path: Path, reader: Reader): void {
  const kind = node.entries.get('kind')?.value
  if (node.entries.has('path') && kind?.kind === 'scalar' && (kind.value === 'discover' || kind.value === 'session'))
    reader.problem('key', [...path, 'path'], { wrong: `goes with kind: http, not ${kind.value}` })
}

export const health = object(
  {
    failures: key(
      f.count(0, 1000),
      'calls in a row without any answer (no connection, silence) after which a target is left out for a while; 0: never',
      {
        fallback: 5
      }
    ),
    ejection: key(f.duration(), 'for how long at first; each time in a row twice as long', { fallback: '1s' }),
    maxEjection: key(f.duration(), 'for how long at most', { fallback: '60s' }),
    check: key(check, 'ask each target again and again whether it is up', { otherwise: 'none' })
  },
  { name: 'health' }
)

/** Names and values of headers. */
export const headerFields = named(f.headerValue, {
  what: 'names and values',
  names: f.HEADER_NAME,
  allowed: 'the name of a header',
  suffix: '.NAME',
  anyCase: true
})

function rules(direction: 'request' | 'response') {
  return object(
    {
      remove: key(list(f.headerName, 'list of header names'), 'taken away, first of all', { otherwise: 'none' }),
      set: key(headerFields, 'put in the place of what was there', { otherwise: 'none' }),
      add: key(headerFields, 'added to what is there', { otherwise: 'none' })
    },
    { name: `${direction}Headers`, check: (node, path, reader) => checkNames(node, path, direction, reader) }
  )
}

/** As written: what stands in a variable or a file is no name of a header. */
function checkNames(node: MapNode, path: Path, direction: 'request' | 'response', reader: Reader): void {
  const refuse = (at: Path, name: string) => {
    if (f.isEndToEnd(name, direction)) return
    reader.problem('key', at, {
      wrong: `${name} is catflap's own to set`,
      allowed: 'headers that pass from end to end'
    })
  }
  for (const [rule, { value }] of node.entries) {
    if (value.kind === 'map') for (const name of value.entries.keys()) refuse([...path, rule, name], name)
    if (value.kind !== 'list') continue
    for (const [i, item] of value.items.entries())
      if (item.kind === 'scalar') refuse([...path, rule, i], String(item.value))
  }
}

export const headerRules = object(
  {
    request: key(rules('request'), 'on the way to the server: `remove`, then `set`, then `add`', { otherwise: 'none' }),
    response: key(rules('response'), 'on the way to the client', { otherwise: 'none' })
  },
  { name: 'headers' }
)

export const record = object(
  {
    path: key(
      f.file,
      'a new file; or a folder (one that exists, or a name that ends with a slash), which gets one tape a session',
      {
        required: true,
        examples: ['./tapes/']
      }
    ),
    overflow: key(choice(['block', 'drop']), 'when the disk is too slow: traffic waits, or frames are left out', {
      fallback: 'block'
    }),
    maxMessage: key(f.size, 'of longer messages only the beginning is kept', { fallback: '8M' })
  },
  { name: 'record' }
)
