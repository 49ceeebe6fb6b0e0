import { isLoopback } from '../transport/loopback.ts'
import { DEFAULT_LISTENER } from './build.ts'
import { targetsOf } from './cross-checks.ts'
import type { Address } from './formats.ts'
import { merged } from './merge.ts'
import type { Path } from './problems.ts'
import type { Reader } from './reader.ts'
import { refers } from './references.ts'
import type { FileValues, RouteValues } from './schema.ts'
import type { Node, Tree } from './tree.ts'

/** What is legal, but hardly meant, or unwise. */
export function advise(values: FileValues, tree: Tree, reader: Reader): void {
  adviseListeners(values, reader)
  adviseStore(values, reader)
  adviseSecrets(tree.root, [], reader)
  const open = (values.listeners ?? []).some(({ address }) => address && !isLoopback(address.host))
  for (const [name, own] of Object.entries(values.routes ?? {})) {
    const route = merged(own, values.defaults)
    adviseAccess(name, own, route, open, reader)
    adviseTargets(name, own, values, reader)
  }
}

/** What lies or goes where others can read it. */
function adviseStore({ store, cluster, routes = {} }: FileValues, reader: Reader): void {
  if (!store) return
  const commands = Object.entries(routes).filter(([, { command }]) => command)
  if (!cluster)
    for (const [name] of commands)
      reader.advise(
        ['routes', name, 'command'],
        'has sessions that only the catflap serves which began them; give cluster'
      )
  if ((store.keys?.length ?? 0) === 0)
    reader.advise(['store'], 'keeps sessions in the clear: whoever can read Redis can use them; give keys')
  if (store.insecure)
    reader.advise(['store', 'insecure'], 'anybody between catflap and Redis can read and change every session')
}

function adviseListeners({ listeners = [], admin, metrics }: FileValues, reader: Reader): void {
  for (const [i, { address, tls }] of listeners.entries())
    if (address && !tls && !isLoopback(address.host))
      reader.advise(
        ['listeners', i, 'address'],
        'is open to other machines without TLS: tokens and messages can be read on the way'
      )
  for (const [key, address] of [
    ['admin', admin?.address],
    ['metrics', metrics?.address]
  ] as const)
    if (address && !isLoopback(address.host))
      reader.advise([key, 'address'], 'is open to other machines without TLS: its token can be read on the way')
}

const SHORT = 16
const TOKEN_KEYS = new Set(['token', 'tokens'])

/** Tokens and keys as they stand in the file: whoever can read it has them. */
function adviseSecrets(node: Node | undefined, path: Path, reader: Reader): void {
  if (node?.kind === 'map') for (const [name, { value }] of node.entries) adviseSecrets(value, [...path, name], reader)
  if (node?.kind === 'list') for (const [i, item] of node.items.entries()) adviseSecrets(item, [...path, i], reader)
  if (node?.kind !== 'scalar' || typeof node.value !== 'string' || refers(node.value)) return
  const isToken = TOKEN_KEYS.has(String(path.at(-1))) || TOKEN_KEYS.has(String(path.at(-2)))
  const isKey = (path[0] === 'store' || path[0] === 'cluster') && path[1] === 'keys'
  const isPassword = path[0] === 'store' && path[1] === 'url' && /:\/\/[^:]*:.+@/.test(node.value)
  if (isKey || isPassword)
    return reader.advise(
      path,
      `${isKey ? 'stands' : 'has its password'} in the file itself: write \${NAME} or file:PATH`
    )
  const isNamed = path[0] === 'routes' && path.length === 2
  if (!isToken || isNamed || path.includes('env') || path.includes('headers')) return
  const short = node.value.length < SHORT ? `, and is short (fewer than ${SHORT} characters can be guessed)` : ''
  reader.advise(path, `stands in the file itself${short}: write \${NAME} or file:PATH`)
}

function adviseAccess(name: string, own: RouteValues, route: RouteValues, open: boolean, reader: Reader): void {
  const at: Path = ['routes', name]
  const isFree = (route.tokens?.length ?? 0) === 0
  if (open && isFree && route.allowUnauthenticated)
    reader.advise(at, 'serves anybody who can reach it: allowUnauthenticated is set, and there are no tokens')
  if (own.allowUnauthenticated && !isFree)
    reader.advise(
      [...at, 'allowUnauthenticated'],
      'has no effect while there are tokens (write tokens: [] to have none)'
    )
  if (route.allowOrigins?.includes('*')) reader.advise([...at, 'allowOrigins'], '* lets every web page use this route')
  if (route.allowHosts?.includes('*') && isFree)
    reader.advise([...at, 'allowHosts'], '* without tokens lets web pages in whose names were rebound to this address')
}

function adviseTargets(name: string, own: RouteValues, values: FileValues, reader: Reader): void {
  const seen = new Set<string>()
  const listening: readonly Address[] = values.listeners?.flatMap(({ address }) => address ?? []) ?? [DEFAULT_LISTENER]
  for (const { one, at } of targetsOf(name, own)) {
    if (one.url === undefined) continue
    if (one.insecure)
      reader.advise([...at, 'insecure'], 'anybody between catflap and the server can read and change everything')
    if (seen.has(one.url)) reader.advise(at, 'is there twice; give it a weight')
    seen.add(one.url)
    if (listening.some(address => isOwn(one.url!, address))) reader.advise(at, 'leads back to catflap itself')
  }
  const { sessionIdle, sessionMax } = merged(own, values.defaults).settings ?? {}
  if (sessionIdle !== undefined && sessionMax !== undefined && sessionIdle > sessionMax)
    reader.advise(['routes', name, 'settings'], 'sessionIdle is longer than sessionMax, and has no effect')
}

function isOwn(target: string, { host, port }: Address): boolean {
  const { hostname, port: given, protocol } = new URL(target)
  const targetPort = Number(given) || (protocol === 'https:' ? 443 : 80)
  const everywhere = host === '0.0.0.0' || host === '::'
  const bare = hostname.replace(/^\[|\]$/g, '')
  return port === targetPort && (bare === host || (isLoopback(bare) && (everywhere || isLoopback(host))))
}
