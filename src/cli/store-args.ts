import { readFileSync } from 'node:fs'
import type { Log } from '../log.ts'
import {
  CLUSTER_KEY,
  isAddress,
  isEverywhere,
  isPrefix,
  LEASE,
  NO_ADDRESS,
  PREFIX_FORM,
  STORE_TIMEOUT
} from '../proxy/check-shared.ts'
import { parseDuration } from '../proxy/options.ts'
import { redisAddress } from '../session/redis/address.ts'
import type { ClusterOptions, SharedStoreOptions } from '../session/shared.ts'
import { STORE_KEY, storeKey } from '../session/store-key.ts'
import { checked, listenOf, readCa } from './forward-args.ts'
import type { StoreArgs } from './store-options.ts'
import { UsageError } from './usage.ts'

export interface Sharing {
  readonly sharedStore?: SharedStoreOptions
  readonly cluster?: ClusterOptions
}

/** What the arguments and the environment say of other processes that serve the same sessions. Throws UsageError. */
export function sharingOf(args: StoreArgs, env: NodeJS.ProcessEnv = process.env): Sharing {
  const url = args.store ?? (env.CATFLAP_STORE_URL || undefined)
  const alone = GOES_WITH_STORE.find(name => isGiven(args[name]))
  if (url === undefined && alone)
    throw new UsageError(`--${alone} goes with --store redis://HOST:PORT (or CATFLAP_STORE_URL)`)
  if (url === undefined) return {}
  const cluster = clusterOf(args, env)
  return { sharedStore: storeOf(args, url, env), ...(cluster && { cluster }) }
}

const GOES_WITH_STORE = [
  ...(['store-key', 'store-prefix', 'store-ca', 'store-insecure', 'store-timeout', 'store-failure', 'lease'] as const),
  ...(['cluster-listen', 'cluster-address', 'cluster-key'] as const)
]

/** The one that says of `--stdio` what it cannot have; the environment may be meant for others. */
export function refuseSharing(args: StoreArgs): void {
  const given = (['store', ...GOES_WITH_STORE] as const).find(name => isGiven(args[name]))
  if (given)
    throw new UsageError(`--${given} and --stdio exclude each other: a client on stdio is served by one process`)
}

function isGiven(value: unknown): boolean {
  return Array.isArray(value) ? value.length > 0 : value !== undefined && value !== false
}

function storeOf(args: StoreArgs, url: string, env: NodeJS.ProcessEnv): SharedStoreOptions {
  const option = args.store === undefined ? 'CATFLAP_STORE_URL' : '--store'
  const { tls } = addressOf(option, url)
  const { 'store-prefix': prefix, 'store-ca': ca, 'store-timeout': timeout, 'store-failure': onFailure, lease } = args
  if (!tls && (ca !== undefined || args['store-insecure']))
    throw new UsageError(`--store-${ca === undefined ? 'insecure' : 'ca'} goes with rediss://: redis:// has no TLS`)
  if (prefix !== undefined && !isPrefix(prefix)) throw new UsageError(`--store-prefix '${prefix}': give ${PREFIX_FORM}`)
  const keys = secretsOf('store-key', args['store-key'], env.CATFLAP_STORE_KEY, { read: storeKey, form: STORE_KEY })
  return {
    url,
    keys,
    ...(prefix !== undefined && { prefix }),
    ...(ca !== undefined && { ca: readCa(ca, '--store-ca') }),
    ...(args['store-insecure'] && { insecure: true }),
    ...(timeout !== undefined && { timeout: timeOf('--store-timeout', timeout, STORE_TIMEOUT, '10ms to 1m') }),
    ...(onFailure !== undefined && { onFailure }),
    ...(lease !== undefined && { lease: timeOf('--lease', lease, LEASE, '1s to 10m') })
  }
}

/** Neither the URL nor its password is repeated. */
function addressOf(option: string, url: string): ReturnType<typeof redisAddress> {
  try {
    return redisAddress(url)
  } catch (error) {
    throw new UsageError(`${option}: ${(error as Error).message}`)
  }
}

function timeOf(
  option: string,
  text: string,
  { min, max }: { readonly min: number; readonly max: number },
  shown: string
): number {
  const value = checked(option, text, parseDuration)
  if (value < min || value > max) throw new UsageError(`${option} ${text}: give ${shown}`)
  return value
}

function clusterOf(args: StoreArgs, env: NodeJS.ProcessEnv): ClusterOptions | undefined {
  const { 'cluster-listen': text, 'cluster-address': address } = args
  if (text === undefined) {
    if (address === undefined && args['cluster-key'].length === 0) return undefined
    throw new UsageError(
      `--cluster-${address === undefined ? 'key' : 'address'} goes with --cluster-listen [host:]port`
    )
  }
  const listen = listenOf('--cluster-listen', text)
  if (address !== undefined && !isAddress(address))
    throw new UsageError(`--cluster-address '${address}': write HOST:PORT, as other instances reach this one`)
  if (address === undefined && isEverywhere(listen.host))
    throw new UsageError(`--cluster-listen ${text}: add --cluster-address ${NO_ADDRESS}`)
  const form = `a text of ${CLUSTER_KEY} characters or more`
  const keys = secretsOf('cluster-key', args['cluster-key'], env.CATFLAP_CLUSTER_KEY, { read: clusterKey, form })
  if (keys.length === 0)
    throw new UsageError('--cluster-listen needs --cluster-key FILE (or CATFLAP_CLUSTER_KEY): who has it may come in')
  return { listen, keys, ...(address !== undefined && { address }) }
}

function clusterKey(text: string): string {
  if (text.length < CLUSTER_KEY) throw new RangeError()
  return text
}

/** Files first: the first of all is the one that is used. No message holds what was read. */
function secretsOf<T>(
  name: 'store-key' | 'cluster-key',
  files: readonly string[],
  variable: string | undefined,
  { read, form }: { readonly read: (text: string) => T; readonly form: string }
): T[] {
  const one = (where: string, text: string): T => {
    try {
      return read(text)
    } catch {
      throw new UsageError(`${where} holds no key; it is ${form}`)
    }
  }
  const inFiles = files.map(file => one(`--${name} ${file}`, readSecret(`--${name}`, file)))
  if (!variable) return inFiles
  return [...inFiles, one(name === 'store-key' ? 'CATFLAP_STORE_KEY' : 'CATFLAP_CLUSTER_KEY', variable)]
}

/** Without the line break that editors and `echo` end it with. */
function readSecret(option: string, file: string): string {
  try {
    return readFileSync(file, 'utf8').replace(/\r?\n$/, '')
  } catch (error) {
    throw new UsageError(`${option} ${file} cannot be read: ${(error as Error).message}`)
  }
}

/** What was given in a way that is legal, but unwise. */
export function warnOfStore(log: Log, args: StoreArgs): void {
  if (args.store !== undefined && redisAddress(args.store).password !== undefined)
    log.warn(
      'store-password',
      "--store holds a password, which lists of processes show to others; give the whole URL in CATFLAP_STORE_URL, or in a file's store.url"
    )
  if (args['store-insecure'])
    log.warn(
      'store-insecure',
      'the certificate of the store is not verified (--store-insecure): anybody in between can read and change every session'
    )
}
