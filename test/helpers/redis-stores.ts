/** Stores at real Redises, made as the contract's suite wants them. */
import { redisAddress } from '../../src/session/redis/address.ts'
import { openRedis } from '../../src/session/redis/client.ts'
import { RedisSessionStore, type RedisStoreOptions } from '../../src/session/redis/store.ts'
import type { MakeStore } from '../contract/session-store-harness.ts'

let stores = 0

/** Each test's own prefix; no record is remembered and each touch is told, as the contract's clock is not Redis's. */
export function storesAt(redis: { readonly url: string }, more: Partial<RedisStoreOptions> = {}): MakeStore {
  return settings => {
    let time = 1_800_000_000_000
    const prefix = `test-${++stores}:`
    const open = (): RedisSessionStore =>
      new RedisSessionStore({
        client: openRedis(redisAddress(redis.url), { timeout: 5_000, connectTimeout: 5_000 }),
        label: redis.url,
        prefix,
        now: () => time,
        cacheFor: 0,
        touchEvery: 0,
        ...settings,
        ...more
      })
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
