/** Where Redis is, as `--store` says it. */
export interface RedisAddress {
  readonly kind: 'single' | 'sentinel' | 'cluster'
  readonly nodes: readonly { readonly host: string; readonly port: number }[]
  readonly tls: boolean
  readonly username?: string
  readonly password?: string
  readonly db: number
  /** What Sentinel calls the master. */
  readonly master?: string
}

const SCHEMES = new Map<string, Pick<RedisAddress, 'kind' | 'tls'>>([
  ['redis', { kind: 'single', tls: false }],
  ['rediss', { kind: 'single', tls: true }],
  ['redis+sentinel', { kind: 'sentinel', tls: false }],
  ['rediss+sentinel', { kind: 'sentinel', tls: true }],
  ['redis+cluster', { kind: 'cluster', tls: false }],
  ['rediss+cluster', { kind: 'cluster', tls: true }]
])
const PORTS = { single: 6379, sentinel: 26379, cluster: 6379 } as const

/**
 * `redis://[user:password@]host[:port][/db]`, the same with `rediss` for TLS; `redis+sentinel://…host:port,host:port/master[/db]`;
 * `redis+cluster://…host:port,host:port`. Fails with a RangeError whose message holds no password.
 */
export function redisAddress(text: string): RedisAddress {
  const [, scheme = '', rest = ''] = /^([a-z+]+):\/\/(.*)$/is.exec(text) ?? []
  const what = SCHEMES.get(scheme.toLowerCase())
  if (!what) throw new RangeError(`a store is redis://HOST:PORT, rediss://…, redis+sentinel://… or redis+cluster://…`)
  const at = rest.lastIndexOf('@')
  const [hosts = '', ...path] = rest.slice(at + 1).split('/')
  if (/[?#]/.test(rest.slice(at + 1))) throw new RangeError('the address of a store has no query')
  return {
    ...what,
    nodes: hosts.split(',').map(host => nodeOf(host, PORTS[what.kind])),
    ...credentialsOf(at < 0 ? '' : rest.slice(0, at)),
    ...pathOf(what.kind, path)
  }
}

/** For people: no password. */
export function addressLabel({ kind, nodes, tls, master }: RedisAddress): string {
  const suffix = kind === 'single' ? '' : `+${kind}`
  const hosts = nodes.map(({ host, port }) => `${host.includes(':') ? `[${host}]` : host}:${port}`)
  return `redis${tls ? 's' : ''}${suffix}://${hosts.join(',')}${master === undefined ? '' : `/${master}`}`
}

function nodeOf(text: string, defaultPort: number): { host: string; port: number } {
  const [, v6, name, digits] = /^(?:\[([0-9a-f:.]+)\]|([^\s:[\]]+))(?::(\d{1,5}))?$/i.exec(text) ?? []
  const port = digits === undefined ? defaultPort : Number(digits)
  const host = v6 ?? name
  if (host === undefined || port < 1 || port > 65535) throw new RangeError('the address of a store needs HOST:PORT')
  return { host, port }
}

function credentialsOf(text: string): Pick<RedisAddress, 'username' | 'password'> {
  if (text === '') return {}
  const colon = text.indexOf(':')
  const username = decoded(colon < 0 ? text : text.slice(0, colon))
  return { ...(username !== '' && { username }), ...(colon >= 0 && { password: decoded(text.slice(colon + 1)) }) }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new RangeError('user and password of a store must be percent-encoded')
  }
}

function pathOf(kind: RedisAddress['kind'], parts: readonly string[]): Pick<RedisAddress, 'db' | 'master'> {
  const given = parts.filter(part => part !== '')
  const master = kind === 'sentinel' ? decoded(given.shift() ?? '') : undefined
  if (master === '') throw new RangeError('redis+sentinel:// needs the name of the master: …:26379/NAME')
  const [db = '0', ...more] = given
  if (more.length > 0 || !/^\d{1,5}$/.test(db))
    throw new RangeError('behind HOST:PORT a store has the number of a database')
  if (kind === 'cluster' && db !== '0') throw new RangeError('a cluster has no databases')
  return { db: Number(db), ...(master !== undefined && { master }) }
}
