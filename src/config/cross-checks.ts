import { createPrivateKey, X509Certificate } from 'node:crypto'
import { statSync } from 'node:fs'
import { mayListen } from '../proxy/bind.ts'
import { isEverywhere } from '../proxy/check-shared.ts'
import { routeSsePaths } from '../proxy/serve-sse.ts'
import { redisAddress } from '../session/redis/address.ts'
import { isLoopback } from '../transport/loopback.ts'
import { merged } from './merge.ts'
import { type Path, pathText } from './problems.ts'
import type { Reader } from './reader.ts'
import type { FileValues, RouteValues, TargetValues } from './schema.ts'

/** What can only be seen from several places at once. Values in which something is wrong already are missing here. */
export function crossCheck(values: FileValues, reader: Reader): void {
  checkAddresses(values, reader)
  checkListeners(values, reader)
  checkAccess(values, reader)
  checkPaths(values, reader)
  checkTargets(values, reader)
  checkTapes(values, reader)
  checkSharing(values, reader)
}

/** What listens, and where the file says so. */
function addresses({ listeners = [], admin, metrics, cluster }: FileValues) {
  return [
    ...listeners.map(({ address }, i) => ({ address, path: ['listeners', i, 'address'] as Path })),
    { address: admin?.address, path: ['admin', 'address'] as Path },
    { address: metrics?.address, path: ['metrics', 'address'] as Path },
    { address: cluster?.listen, path: ['cluster', 'listen'] as Path }
  ]
}

function checkAddresses(values: FileValues, reader: Reader): void {
  const taken = new Map<string, string>()
  for (const { address, path } of addresses(values)) {
    if (!address || address.port === 0) continue
    const key = `${address.host.toLowerCase()}:${address.port}`
    const first = taken.get(key)
    if (first !== undefined)
      reader.problem('value', path, { wrong: `listens where ${first} does`, allowed: 'another port' })
    else taken.set(key, pathText(path.slice(0, -1)))
  }
}

function checkListeners({ listeners = [] }: FileValues, reader: Reader): void {
  for (const [i, { tls }] of listeners.entries()) {
    if (!tls?.certificate || !tls.key) continue
    const path = ['listeners', i, 'tls', 'key']
    const certificate = new X509Certificate(tls.certificate)
    if (!certificate.checkPrivateKey(createPrivateKey(tls.key)))
      reader.problem('value', path, {
        wrong: 'does not fit the certificate',
        allowed: 'the key that the certificate was made for'
      })
    const end = certificate.validToDate
    if (end.getTime() < Date.now())
      reader.advise(
        ['listeners', i, 'tls', 'certificate'],
        `has expired on ${end.toISOString().slice(0, 10)}: clients will refuse it`
      )
  }
}

/** Beyond loopback anybody could come in. */
function checkAccess(values: FileValues, reader: Reader): void {
  const open = (values.listeners ?? []).find(
    ({ address, tls }) => address && !isLoopback(address.host) && !tls?.clientCa
  )
  const allowed = 'tokens, or allowUnauthenticated: true if that is wanted'
  for (const [name, own] of Object.entries(values.routes ?? {})) {
    const route = merged(own, values.defaults)
    if (!open || mayListen(open.address!.host, route)) continue
    // A token that could not be read is there all the same.
    if (reader.isFaulty(['routes', name, 'tokens']) || reader.isFaulty(['defaults', 'tokens'])) continue
    reader.problem('key', ['routes', name], {
      wrong: `other machines can reach it (through ${open.address!.host})`,
      allowed
    })
  }
  const { metrics } = values
  if (metrics?.address && !mayListen(metrics.address.host, metrics) && !reader.isFaulty(['metrics', 'tokens']))
    reader.problem('value', ['metrics', 'address'], { wrong: 'other machines can reach it', allowed })
}

/** Two routes that want the same requests. */
function checkPaths({ routes = {} }: FileValues, reader: Reader): void {
  const taken = new Map<string, { readonly name: string; readonly what: string }>()
  const claim = (host: string, path: string, name: string, what: string, at: Path, allowed: string): void => {
    const key = `${host.toLowerCase()} ${path}`
    const first = taken.get(key)
    if (!first) taken.set(key, { name, what })
    else if (first.name !== name)
      reader.problem('key', at, { wrong: `${path} ${first.what} the route ${first.name} already`, allowed })
  }
  for (const [name, { path = `/${name}/mcp`, host = '', passthrough = [] }] of Object.entries(routes)) {
    const at = ['routes', name, 'path']
    claim(host, path, name, 'is the path of', at, 'each route a path (or a host) of its own')
    // One finding is enough where the paths themselves are the same.
    if (taken.get(`${host.toLowerCase()} ${path}`)?.name !== name) continue
    const { stream } = routeSsePaths(path)
    claim(
      host,
      stream,
      name,
      'is where clients of HTTP+SSE find',
      at,
      `paths in folders of their own, like /${name}/mcp`
    )
    for (const [i, passed] of passthrough.entries())
      claim(host, passed, name, 'leads to', ['routes', name, 'passthrough', i], 'each path to one route')
  }
}

function checkTargets({ routes = {} }: FileValues, reader: Reader): void {
  for (const [name, route] of Object.entries(routes)) {
    for (const { one, at } of targetsOf(name, route))
      if (one.transport === 'sse' && one.era === 'modern')
        reader.problem('value', [...at, 'era'], {
          wrong: "'modern' does not go with transport: sse, which is older",
          allowed: 'legacy'
        })
    if (route.command?.[0] === '')
      reader.problem('value', ['routes', name, 'command', 0], { wrong: 'is empty', allowed: 'the program to start' })
  }
}

/** Each target of a route as an object, and where it stands. */
export function targetsOf(
  name: string,
  { target, targets = [] }: RouteValues
): { readonly one: TargetValues; readonly at: Path }[] {
  const all = target === undefined ? targets : [target]
  return all.map((one, i) => ({
    one: typeof one === 'string' ? { url: one } : one,
    at: ['routes', name, ...(target === undefined ? ['targets', i] : ['target'])]
  }))
}

/** Two recorders cannot write one file. */
function checkTapes({ routes = {}, defaults }: FileValues, reader: Reader): void {
  const taken = new Map<string, string>()
  for (const [name, own] of Object.entries(routes)) {
    const { record } = merged(own, defaults)
    const path = typeof record === 'object' ? record.path : record
    if (!path || isFolder(path)) continue
    const first = taken.get(path)
    if (first === undefined) taken.set(path, name)
    else
      reader.problem('key', own.record === undefined ? ['routes', name] : ['routes', name, 'record'], {
        wrong: `would record to the same file as the route ${first}`,
        allowed: 'a folder (a path that ends with a slash), or a file of its own'
      })
  }
}

/** What several catflaps need to find each other. */
function checkSharing({ store, cluster, sessions }: FileValues, reader: Reader): void {
  if (store && sessions?.store === 'memory')
    reader.problem('key', ['sessions', 'store'], {
      wrong: 'says memory, and store says Redis',
      allowed: 'one of the two'
    })
  if (store?.url !== undefined && !redisAddress(store.url).tls)
    for (const name of ['ca', 'insecure'] as const)
      if (store[name]) reader.problem('key', ['store', name], { wrong: 'goes with rediss://: redis:// has no TLS' })
  if (!cluster) return
  if (!store && !reader.isFaulty(['store']))
    reader.problem('key', ['cluster'], {
      wrong: 'catflaps find each other through the store they share',
      allowed: 'store as well'
    })
  if (
    cluster.listen &&
    isEverywhere(cluster.listen.host) &&
    !reader.isFaulty(['cluster', 'address']) &&
    !cluster.address
  )
    reader.problem('value', ['cluster', 'listen'], {
      wrong: 'is on all addresses, and none of them is named to the others',
      allowed: 'cluster.address as well: host:port under which other instances reach this one'
    })
}

function isFolder(path: string): boolean {
  return /[/\\]$/.test(path) || statSync(path, { throwIfNoEntry: false })?.isDirectory() === true
}
