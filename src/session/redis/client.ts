import { getCACertificates } from 'node:tls'
import { Cluster, type Command, Redis, type RedisOptions } from 'ioredis'
import type { RedisAddress } from './address.ts'

export interface ClientOptions {
  /** For one command, in ms, the wait for a connection included. */
  readonly timeout: number
  readonly connectTimeout: number
  /** Authorities to trust besides the system's, in PEM. */
  readonly ca?: string
  readonly insecure?: boolean
}

/** ioredis, one connection to each node that is needed. */
export type RedisClient = Redis | Cluster

/** At most so long between two tries to connect, in ms. */
const MOST_PAUSE = 2_000
/** So long after a node was lost it is asked where its slots are, in ms. */
const LOOK_AFTER = 200

/** Connects by itself, again and again; errors come with commands, and to `error` listeners. */
export function openRedis(address: RedisAddress, options: ClientOptions): RedisClient {
  const { kind, nodes, master, db } = address
  const common = commonOptions(address, options)
  if (kind === 'cluster') {
    const cluster = new Cluster([...nodes], {
      redisOptions: common,
      clusterRetryStrategy: pause,
      slotsRefreshTimeout: options.connectTimeout,
      // What was asked on a connection that broke may have been done: it is not asked again. What is refused has not.
      retryDelayOnFailover: 0,
      retryDelayOnClusterDown: 200,
      // Servers may tell addresses that are only known by name in certificates.
      ...(address.tls && { dnsLookup: (name, done) => done(null, name) })
    })
    cluster.on('+node', tamed)
    lookWhereSlotsAre(cluster)
    return tamed(cluster)
  }
  if (kind === 'sentinel')
    return tamed(
      new Redis({
        ...common,
        db,
        sentinels: [...nodes],
        name: master!,
        // A master that was replaced may go on taking writes for seconds, which all are lost: it is left as soon as sentinels tell.
        failoverDetector: true,
        sentinelRetryStrategy: pause,
        retryStrategy: pause,
        connectTimeout: options.connectTimeout,
        // One that hangs must not keep the others from being asked.
        sentinelCommandTimeout: options.connectTimeout,
        enableTLSForSentinelMode: address.tls,
        ...(address.tls && { sentinelTLS: tlsOf(options) })
      })
    )
  return tamed(new Redis({ ...common, ...nodes[0]!, db, retryStrategy: pause }))
}

/** ioredis, without what it does on its own that is none of its business here. */
export function tamed<Client extends RedisClient>(client: Client): Client {
  sendNothingInVain(client)
  if (client instanceof Redis) printNothing(client)
  return client
}

/** What has failed already for who asked is not sent any more, wherever in ioredis it waited for a connection. */
function sendNothingInVain(client: RedisClient): void {
  const send = client.sendCommand.bind(client) as (command: Command, ...more: unknown[]) => unknown
  client.sendCommand = (command: Command, ...more: unknown[]) =>
    command.isSettled ? command.promise : send(command, ...more)
}

type Told = (error: Error | null, said?: unknown) => void

/** It writes to stderr where it may not ask for INFO, and where a password is given that is not wanted: both do no harm. */
function printNothing(client: Redis): void {
  const plain = client as unknown as Record<'info' | 'auth', (...args: unknown[]) => Promise<unknown>>
  const info = plain.info.bind(client)
  plain.info = told => {
    if (typeof told !== 'function') return info(told)
    return info((error: Error | null, said: unknown) =>
      error?.message.startsWith('NOPERM') ? (told as Told)(null, '') : (told as Told)(error, said)
    )
  }
  const auth = plain.auth.bind(client)
  plain.auth = async (...args) => {
    try {
      return await auth(...args)
    } catch (error) {
      if (/no password is set|without any password configured/.test(String(error))) return 'OK'
      throw error
    }
  }
}

/** A node that is lost may have handed its slots to another one. */
function lookWhereSlotsAre(cluster: Cluster): void {
  let timer: NodeJS.Timeout | undefined
  const stop = (): void => {
    clearTimeout(timer)
    timer = undefined
  }
  cluster.on('-node', () => {
    timer ??= setTimeout(() => {
      timer = undefined
      if (cluster.status === 'ready') cluster.refreshSlotsCache()
    }, LOOK_AFTER).unref()
  })
  cluster.on('end', stop)
}

function commonOptions(address: RedisAddress, options: ClientOptions): RedisOptions {
  const { username, password } = address
  return {
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...(address.tls && { tls: tlsOf(options) }),
    protocol: 2,
    connectTimeout: options.connectTimeout,
    commandTimeout: options.timeout,
    // Behind a connection on which nothing comes, what was asked would pile up for as long as that lasts.
    socketTimeout: 2 * options.timeout,
    // What may have been done is never done again by itself.
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 1,
    // Who was the master until now has done nothing: the new one is asked.
    reconnectOnError: error => (/^(READONLY|UNBLOCKED)/.test(error.message) ? 2 : false),
    connectionName: 'catflap',
    keepAlive: 10_000
  }
}

function tlsOf({ ca, insecure }: ClientOptions): { ca?: string[]; rejectUnauthorized: boolean } {
  return { ...(ca !== undefined && { ca: [...getCACertificates('default'), ca] }), rejectUnauthorized: !insecure }
}

function pause(times: number): number {
  return Math.min(MOST_PAUSE, 50 * 2 ** Math.min(times, 10)) * (0.75 + Math.random() / 2)
}
