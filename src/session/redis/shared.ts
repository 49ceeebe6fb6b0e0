import type { Log } from '../../log.ts'
import type { Shared, SharedStoreOptions, StoreLimits } from '../shared.ts'
import type { SessionStore } from '../store.ts'
import { addressLabel, redisAddress } from './address.ts'
import { RedisBackend } from './backend.ts'
import { openRedis } from './client.ts'
import { RedisMembership } from './membership.ts'
import { Seal } from './seal.ts'
import { RedisSessionStore } from './store.ts'

const TIMEOUT = 3_000
const LEASE = 10_000

/**
 * Redis, for one process. Waits for nothing: whether Redis is there shows in `state`, and where it is not it is tried again and again. Fails with RangeError,
 * which holds no secret, where the address or a key is none.
 */
export function openShared(options: SharedStoreOptions, log: Log): Shared {
  const { url, keys = [], prefix, ca, insecure, timeout = TIMEOUT, lease = LEASE } = options
  const address = redisAddress(url)
  const seal = new Seal(keys)
  if (!seal.isOn) warnOfClearText(log)
  const client = openRedis(address, { timeout, connectTimeout: timeout, ca, insecure })
  const backend = new RedisBackend({ client, label: addressLabel(address), prefix, seal, timeout })
  const membership = new RedisMembership({ backend, lease, log })
  void membership.start()
  return {
    label: backend.label,
    get state() {
      return backend.state
    },
    membership,
    store: (name, limits) => storeOf(backend, name, limits, options),
    close: async () => {
      await membership.close()
      backend.close()
    }
  }
}

/** The one place where it is decided what a store does while Redis does not do its work (`options.onFailure`). */
function storeOf(backend: RedisBackend, name: string, limits: StoreLimits, _options: SharedStoreOptions): SessionStore {
  return new RedisSessionStore({ backend, name, ...limits })
}

function warnOfClearText(log: Log): void {
  log.warn(
    'store-unsealed',
    "the store keeps sessions in the clear: their ids, the servers' own session ids, what clients said in initialize and what is known of a session. " +
      'Whoever can read Redis can use them. --store-key FILE seals them'
  )
}
