import { redisAddress } from '../session/redis/address.ts'
import type { ClusterOptions, SharedStoreOptions } from '../session/shared.ts'
import { sameOptions } from './same-options.ts'

/** What these options may be; the command line and the configuration file hold to the same. Times in ms. */
export const LEASE = { min: 1_000, max: 600_000 } as const
export const STORE_TIMEOUT = { min: 10, max: 60_000 } as const
/** Shorter ones could be found by trying. */
export const CLUSTER_KEY = 32
/** What every key of the store begins with. */
export const PREFIX = /^[\x21-\x7e]{0,64}$/

interface Sharing {
  readonly sharedStore?: SharedStoreOptions
  readonly cluster?: ClusterOptions
}

/**
 * Of options for several processes. Throws a TypeError that names the option and what is allowed; addresses and keys are
 * secrets, or hold them, and are not in it.
 */
export function checkShared({ sharedStore, cluster }: Sharing): void {
  if (sharedStore !== undefined) checkStore(sharedStore)
  if (cluster === undefined) return
  if (sharedStore === undefined)
    throw new TypeError('cluster: instances find each other through the store they share; give sharedStore as well')
  checkCluster(cluster)
}

function checkStore(store: SharedStoreOptions): void {
  const { url, keys = [], prefix = '', timeout, lease, onFailure = 'fail', ca, insecure } = store
  const { tls } = addressOf(url)
  if (!Array.isArray(keys) || keys.some(key => !Buffer.isBuffer(key) || key.length !== 32))
    refuse('sharedStore.keys', 'Buffers of 32 bytes')
  if (!isPrefix(prefix)) refuse('sharedStore.prefix', PREFIX_FORM)
  if (onFailure !== 'fail' && onFailure !== 'local') refuse('sharedStore.onFailure', "'fail' or 'local'")
  if ((ca !== undefined || insecure) && !tls) refuse(`sharedStore.${ca === undefined ? 'insecure' : 'ca'}`, TLS_ONLY)
  checkTime('sharedStore.timeout', timeout, STORE_TIMEOUT)
  checkTime('sharedStore.lease', lease, LEASE)
}

export const TLS_ONLY = 'it with rediss:// alone: redis:// has no TLS'
export const PREFIX_FORM = 'at most 64 printable characters of ASCII, without blanks and braces'

/** Braces would decide where a cluster keeps a key. */
export function isPrefix(text: unknown): boolean {
  return typeof text === 'string' && PREFIX.test(text) && !/[{}]/.test(text)
}

function addressOf(url: unknown): { readonly tls: boolean } {
  try {
    return redisAddress(String(url))
  } catch (error) {
    throw new TypeError(`sharedStore.url: ${(error as RangeError).message}`)
  }
}

function checkTime(option: string, value: unknown, { min, max }: { readonly min: number; readonly max: number }): void {
  if (value === undefined || (Number.isSafeInteger(value) && Number(value) >= min && Number(value) <= max)) return
  refuse(option, `milliseconds from ${min} to ${max}`)
}

function checkCluster({ listen, address, keys }: ClusterOptions): void {
  const { host, port = 0 } = listen ?? {}
  if (host !== undefined && (typeof host !== 'string' || host === ''))
    refuse('cluster.listen.host', 'an address of this machine')
  if (!(Number.isInteger(port) && port >= 0 && port <= 65_535))
    refuse('cluster.listen.port', 'a whole number from 0 (any free one) to 65535')
  if (address !== undefined && !isAddress(address)) refuse('cluster.address', 'HOST:PORT')
  if (address === undefined && host !== undefined && isEverywhere(host)) refuse('cluster.address', NO_ADDRESS)
  if (
    !Array.isArray(keys) ||
    keys.length === 0 ||
    keys.some(key => typeof key !== 'string' || key.length < CLUSTER_KEY)
  )
    refuse('cluster.keys', `at least one text of ${CLUSTER_KEY} characters or more`)
}

export const NO_ADDRESS =
  'HOST:PORT under which other instances reach this one: what listens on all addresses has none of its own'

/** Where others can connect: a name or an address, and a port. */
export function isAddress(text: unknown): text is string {
  const [, host = '', port] = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_.-]+):(\d{1,5})$/.exec(String(text)) ?? []
  return Number(port) >= 1 && Number(port) <= 65_535 && !isEverywhere(host)
}

/** All addresses of a machine, which none can be reached by. */
export function isEverywhere(host: string): boolean {
  return /^(?:0\.0\.0\.0|\[?::(?:0)?\]?)$/.test(host)
}

function refuse(option: string, allowed: string): never {
  throw new TypeError(`${option}: that is not allowed; give ${allowed}`)
}

/**
 * Connections, leases and sessions hang on these as long as the process lives. Throws a TypeError where other options would
 * change them.
 */
export function checkLasting(before: Sharing, now: Sharing): void {
  const changed = [
    ...(sameOptions(before.sharedStore, now.sharedStore) ? [] : ['store']),
    ...(sameOptions(before.cluster, now.cluster) ? [] : ['cluster'])
  ]
  if (changed.length > 0)
    throw new TypeError(
      `${changed.join(' and ')}: what has changed there needs a restart; until then nothing else of these options is taken over, either`
    )
}
