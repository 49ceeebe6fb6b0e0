// biome-ignore-all lint/suspicious/noTemplateCurlyInString: references of configuration files look like that
import { CLUSTER_KEY, isAddress, isPrefix, LEASE, PREFIX_FORM, STORE_TIMEOUT } from '../proxy/check-shared.ts'
import { redisAddress } from '../session/redis/address.ts'
import { STORE_KEY, storeKey } from '../session/store-key.ts'
import * as f from './formats.ts'
import { Refusal } from './references.ts'
import { choice, flag, text } from './scalars.ts'
import { key, list, object } from './shape.ts'

/** Sessions that several processes share. */

const storeUrl = text({
  type: 'URL of a Redis',
  pattern: '[rR][eE][dD][iI][sS][sS]?(?:\\+(?:sentinel|cluster))?://\\S+',
  allowed:
    'redis://HOST:PORT, rediss://…, redis+sentinel://HOST:PORT,HOST:PORT/MASTER or redis+cluster://HOST:PORT,HOST:PORT',
  secrecy: 'url',
  parse(given) {
    try {
      redisAddress(given)
    } catch (error) {
      throw new Refusal('is no address of a store', (error as Error).message)
    }
    return given
  }
})

const key32 = text({
  type: 'store key',
  pattern: '\\s*(?:[0-9a-fA-F]{64}|[A-Za-z0-9+/]{43}=?|[A-Za-z0-9_-]{43}=?)\\s*',
  allowed: STORE_KEY,
  secrecy: 'always',
  parse: storeKey
})

const clusterKey = text({
  type: 'secret',
  pattern: `[^\\0]{${CLUSTER_KEY},}`,
  allowed: `a text of ${CLUSTER_KEY} characters or more`,
  secrecy: 'always'
})

const prefix = text({
  type: 'text',
  pattern: '[\\x21-\\x7a\\x7c\\x7e]{0,64}',
  allowed: PREFIX_FORM,
  secrecy: 'never',
  parse(given) {
    if (!isPrefix(given)) throw new TypeError()
    return given
  }
})

const reachable = text({
  type: '`host:port`',
  pattern: '(?:\\[[0-9a-fA-F:.]+\\]|[A-Za-z0-9_.-]+):\\d{1,5}',
  allowed: 'an address like catflap-1.internal:7892, as other instances reach this one',
  secrecy: 'never',
  parse(given) {
    if (!isAddress(given)) throw new TypeError()
    return given
  }
})

export const store = object(
  {
    url: key(storeUrl, 'where Redis is; user and password before an `@`', {
      required: true,
      examples: ['redis://10.0.0.5:6379', '${CATFLAP_STORE_URL}']
    }),
    keys: key(
      list(key32, 'list of store keys'),
      'what is kept is sealed with the first, and any opens it: 32 bytes each, as 64 hex digits or in base64',
      { otherwise: 'none: it lies in the clear', examples: [['file:/run/secrets/store-key']] }
    ),
    prefix: key(prefix, 'what all names of keys in Redis begin with', { fallback: 'catflap:' }),
    ca: key(f.pem('certificate'), "certificate authorities to trust besides the system's; `rediss://` only", {
      otherwise: 'none'
    }),
    insecure: key(flag, 'do not verify its certificate: anybody in between can read and change every session', {
      fallback: false
    }),
    timeout: key(
      f.durationWithin(STORE_TIMEOUT.min, STORE_TIMEOUT.max, '10ms to 1m'),
      'wait for Redis, for one operation',
      {
        fallback: '3s'
      }
    ),
    failure: key(
      choice(['fail', 'local']),
      'while Redis is away: answer 503, or go on in memory with sessions over HTTP that are known here',
      { fallback: 'fail' }
    ),
    lease: key(
      f.durationWithin(LEASE.min, LEASE.max, '1s to 10m'),
      'a catflap that is not heard of for so long has lost what it alone holds',
      { fallback: '10s' }
    )
  },
  { hints: { key: 'keys', onFailure: 'failure', address: 'url', host: 'url', password: 'url', tls: 'url' } }
)

export const cluster = object(
  {
    listen: key(f.address, 'where other catflaps hand over what this one alone can do', {
      required: true,
      examples: ['10.0.0.1:7892']
    }),
    address: key(reachable, 'under which they reach it', { otherwise: 'what is listened on' }),
    keys: key(
      list(clusterKey, 'list of secrets', 1),
      `who has one of them is one of the catflaps; the first is presented, any is accepted; ${CLUSTER_KEY} characters or more`,
      { required: true, examples: [['file:/run/secrets/cluster-key']] }
    )
  },
  { hints: { key: 'keys', lease: 'store.lease' } }
)
