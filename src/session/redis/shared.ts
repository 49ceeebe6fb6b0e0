import type { Log } from '../../log.ts'
import type { Shared, SharedStoreOptions, StoreFailure, StoreLimits } from '../shared.ts'
import type { SessionStore } from '../store.ts'
import { addressLabel, redisAddress } from './address.ts'
import { RedisBackend } from './backend.ts'
import { openRedis } from './client.ts'
import { redisGenerations } from './generations.ts'
import { localOnFailure } from './local-on-failure.ts'
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
  tellState(backend, options.onFailure, log)
  const membership = new RedisMembership({ backend, lease, log })
  void membership.start()
  return {
    label: backend.label,
    get state() {
      return backend.state
    },
    membership,
    store: (name, limits) => storeOf(backend, name, limits, options, log),
    close: async () => {
      await membership.close()
      backend.close()
    }
  }
}

/** The one place where it is decided what a store does while Redis does not do its work (`options.onFailure`). */
function storeOf(
  backend: RedisBackend,
  name: string,
  limits: StoreLimits,
  { onFailure = 'fail' }: SharedStoreOptions,
  log: Log
): SessionStore {
  const store = new RedisSessionStore({ backend, name, ...limits })
  return onFailure === 'fail' ? store : localOnFailure(store, { limits, generations: redisGenerations(backend), log })
}

/** One line when it stops doing its work and one when it does it again, whatever is asked of it meanwhile. */
function tellState(backend: RedisBackend, onFailure: StoreFailure = 'fail', log: Log): void {
  const then =
    onFailure === 'fail' ? 'requests in sessions get 503' : 'sessions over HTTP that are known here go on from memory'
  backend.onState(({ ok, reason }) => {
    if (ok) log.info('store-up', `${backend.label} does its work again`)
    else log.warn('store-down', `${backend.label} does not do its work: ${reason}. Until it does, ${then}`)
  })
}

function warnOfClearText(log: Log): void {
  log.warn(
    'store-unsealed',
    "the store keeps sessions in the clear: their ids, the servers' own session ids, what clients said in initialize and what is known of a session. " +
      'Whoever can read Redis can use them. --store-key FILE seals them'
  )
}
