import { X509Certificate } from 'node:crypto'
import { checkShared } from './check-shared.ts'
import { checkTape } from './check-tape.ts'
import type { ForwardOptions } from './forward.ts'
import { SETTINGS } from './options.ts'
import type { CommandTarget, TargetOptions, UrlTarget } from './target.ts'

/**
 * Options that cannot be meant are refused before anything is opened. Throws a TypeError that names the option, the value and
 * what is allowed.
 */
export function checkOptions(options: ForwardOptions): void {
  checkTarget(options.target)
  checkListen(options.listen)
  for (const token of options.tokens ?? [])
    if (typeof token !== 'string' || token === '') fail('tokens', token, 'a secret')
  for (const host of options.allowHosts ?? []) checkHost(host)
  for (const origin of options.allowOrigins ?? []) checkOrigin(origin)
  for (const one of options.interceptors ?? [])
    if (typeof one?.name !== 'string') fail('interceptors', one, "objects with a name and hooks: { name: 'mine', … }")
  const { sessionLoss = 'reinitialize' } = options
  if (sessionLoss !== 'reinitialize' && sessionLoss !== 'propagate')
    fail('sessionLoss', sessionLoss, "'reinitialize' or 'propagate'")
  for (const name of Object.keys(options.settings ?? {}))
    if (!Object.hasOwn(SETTINGS, name)) fail('settings', name, `one of ${Object.keys(SETTINGS).join(', ')}`)
  checkSharing(options)
}

function checkSharing(options: ForwardOptions): void {
  const { store, sharedStore, cluster, listen } = options
  if (sharedStore === undefined && cluster === undefined) return
  const given = sharedStore === undefined ? 'cluster' : 'sharedStore'
  if (store && sharedStore) throw new TypeError('store and sharedStore exclude each other: give one of them')
  if (listen !== undefined && 'input' in listen)
    throw new TypeError(`${given}: a client on a pair of pipes is served by this process alone; leave it out`)
  checkShared(options)
}

/** `example.com`, `[::1]` or `*`: a name as it stands in a Host header, without port. */
export function checkHost(host: string): void {
  const name = /^(?:\*|\[[0-9a-fA-F:.]+\]|[0-9a-fA-F]*:[0-9a-fA-F:.]*|[A-Za-z0-9_](?:[A-Za-z0-9_.-]*))$/
  if (typeof host !== 'string' || !name.test(host))
    fail('allowHosts', host, 'a host name without scheme and port, or *')
}

/** `https://app.example`, with its port where it has one, or `*`. */
export function checkOrigin(origin: string): void {
  const wanted = 'an origin like https://app.example:8443, or *'
  if (typeof origin !== 'string') fail('allowOrigins', origin, wanted)
  if (origin === '*') return
  if (!/^[a-z][a-z0-9+.-]*:\/\/[^/?#\s]+\/?$/i.test(origin)) fail('allowOrigins', origin, wanted)
}

/** PEM text with at least one certificate that can be read. */
export function checkCa(pem: string, what: string): void {
  const certificates = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
  try {
    for (const one of certificates) new X509Certificate(one)
  } catch {
    fail('ca', what, 'PEM text of certificates that can be read')
  }
  if (certificates.length === 0) fail('ca', what, 'PEM text with -----BEGIN CERTIFICATE-----')
}

export function checkTarget(target: TargetOptions): void {
  if (typeof target === 'object' && target !== null && 'tape' in target) return checkTape(target)
  const { url, command } = (target ?? {}) as Partial<UrlTarget & CommandTarget>
  if (url !== undefined && command === undefined) return checkUrlTarget(target as UrlTarget)
  if (typeof command !== 'string' || command === '' || url !== undefined)
    fail('target', target, "{ url: 'http://…' }, { command: 'node', args: ['server.js'] } or { tape: 'a.tape.jsonl' }")
  const { args = [], env = {}, cwd } = target as CommandTarget
  if (!Array.isArray(args) || args.some(a => typeof a !== 'string')) fail('target.args', args, 'an array of strings')
  for (const [name, value] of Object.entries(env))
    if (typeof value !== 'string') fail(`target.env.${name}`, value, 'a string')
  if (cwd !== undefined && typeof cwd !== 'string') fail('target.cwd', cwd, 'a folder')
  checkEra((target as CommandTarget).era)
}

export function checkUrlTarget({ url, headers = [], ca, transport = 'auto', era }: UrlTarget): void {
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
    fail('target.url', withoutSecrets(url), 'an http: or https: URL')
  if (!Array.isArray(headers) || headers.length % 2 !== 0 || headers.some(h => typeof h !== 'string'))
    fail('target.headers', '…', "names and values in turn: ['X-Name', 'value']")
  if (ca !== undefined) checkCa(ca, '…')
  if (!['auto', 'streamable-http', 'sse'].includes(transport))
    fail('target.transport', transport, "'auto', 'streamable-http' or 'sse'")
  checkEra(era)
  if (transport === 'sse' && era === 'modern')
    fail('target.era', era, "'legacy': HTTP+SSE is older than modern revisions")
}

function checkEra(era: unknown = 'auto'): void {
  if (era !== 'auto' && era !== 'legacy' && era !== 'modern') fail('target.era', era, "'auto', 'legacy' or 'modern'")
}

function checkListen(listen: ForwardOptions['listen']): void {
  if (listen === undefined || 'input' in listen) return
  const { host, port, path } = listen
  if (host !== undefined && (typeof host !== 'string' || host === ''))
    fail('listen.host', host, 'an address or a host name')
  if (port !== undefined && !(Number.isInteger(port) && port >= 0 && port <= 65_535))
    fail('listen.port', port, 'a whole number from 0 (any free one) to 65535')
  if (path !== undefined && !/^\/[\x21-\x7e]*$/.test(path)) fail('listen.path', path, "a path like '/mcp'")
  if (path !== undefined && isTaken(path))
    fail('listen.path', path, "a path like '/mcp': 'sse' and 'messages' beside it are for clients of HTTP+SSE")
}

/** Clients of HTTP+SSE connect at these names, in the endpoint's own folder. */
export function isTaken(path: string): boolean {
  return /\/(?:sse|messages)$/.test(path)
}

function withoutSecrets(url: unknown): string {
  return String(url).replace(/\/\/[^/@]*@/, '//…@')
}

export function fail(option: string, value: unknown, allowed: string): never {
  const text = typeof value === 'string' ? `'${value}'` : JSON.stringify(value)
  throw new TypeError(`${option}: ${text} is not allowed; give ${allowed}`)
}
