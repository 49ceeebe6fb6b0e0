/** Stores at real Redises, made as the contract's suite wants them. */

import { redisAddress } from '../../src/session/redis/address.ts'
import { RedisBackend } from '../../src/session/redis/backend.ts'
import { openRedis } from '../../src/session/redis/client.ts'
import type { Seal } from '../../src/session/redis/seal.ts'
import { RedisSessionStore, type RedisStoreOptions } from '../../src/session/redis/store.ts'
import type { MakeStore } from '../contract/session-store-harness.ts'

export interface BackendSettings {
  readonly prefix?: string
  readonly seal?: Seal
  /** Default 5 seconds. */
  readonly timeout?: number
}

export type StoreSettings = BackendSettings & Partial<Omit<RedisStoreOptions, 'backend'>>

/** A connection as a process of its own has one. */
export function backendAt(url: string, { timeout = 5_000, ...more }: BackendSettings = {}): RedisBackend {
  const client = openRedis(redisAddress(url), { timeout, connectTimeout: timeout })
  return new RedisBackend({ client, label: url.replace(/\/\/.*@/, '//'), timeout, ...more })
}

/** A store as a process of its own has one: with its backend, that closes with it. */
export class StoreOfItsOwn extends RedisSessionStore {
  readonly backend: RedisBackend

  constructor(url: string, { prefix, seal, timeout, name = 'store', ...more }: StoreSettings = {}) {
    const backend = backendAt(url, { prefix, seal, timeout })
    super({ backend, name, ...more })
    this.backend = backend
  }

  override async close(): Promise<void> {
    await super.close()
    this.backend.close()
  }
}

let stores = 0

/** Each test's own prefix; no record is remembered and each touch is told, as the contract's clock is not Redis's. */
export function storesAt(redis: { readonly url: string }, more: StoreSettings = {}): MakeStore {
  return settings => {
    let time = 1_800_000_000_000
    const prefix = `test-${++stores}:`
    const open = (): StoreOfItsOwn =>
      new StoreOfItsOwn(redis.url, { prefix, now: () => time, cacheFor: 0, touchEvery: 0, ...settings, ...more })
    return {
      store: open(),
      peer: open(),
      advance: ms => {
        time += ms
      }
    }
  }
}

/** Without a peer. */
export function alone(makeStore: MakeStore): MakeStore {
  return async settings => {
    const { store, peer, advance } = await makeStore(settings)
    await peer?.close()
    return { store, advance }
  }
}
