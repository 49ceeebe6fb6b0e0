import type { Options } from 'yargs'

/** Sessions that several processes share, on the command line of forward and reverse. */
export interface StoreArgs {
  store?: string
  'store-key': string[]
  'store-prefix'?: string
  'store-ca'?: string
  'store-insecure': boolean
  'store-timeout'?: string
  'store-failure'?: 'fail' | 'local'
  lease?: string
  'cluster-listen'?: string
  'cluster-address'?: string
  'cluster-key': string[]
}

export const STORE_OPTIONS = {
  store: {
    type: 'string',
    requiresArg: true,
    describe:
      'keep sessions in Redis: redis://HOST:PORT, rediss://… (TLS), redis+sentinel://…, redis+cluster://…; with a password better by CATFLAP_STORE_URL (ps shows arguments)',
    defaultDescription: 'in memory'
  },
  'store-key': files('a file with 32 bytes, as 64 hex digits or base64, that seal what is kept; or CATFLAP_STORE_KEY'),
  'store-prefix': {
    type: 'string',
    requiresArg: true,
    describe: 'what all names of keys in Redis begin with',
    defaultDescription: 'catflap:'
  },
  'store-ca': {
    type: 'string',
    requiresArg: true,
    describe: 'PEM file of a certificate authority to trust; rediss:// only'
  },
  'store-insecure': { type: 'boolean', default: false, describe: 'do not verify the certificate of rediss://' },
  'store-timeout': {
    type: 'string',
    requiresArg: true,
    describe: 'wait for Redis, for one operation; 10ms to 1m',
    defaultDescription: '3s'
  },
  'store-failure': {
    choices: ['fail', 'local'],
    requiresArg: true,
    describe:
      'while Redis is away: fail answers 503; with local, sessions over HTTP that are known here go on in memory',
    defaultDescription: 'fail'
  },
  lease: {
    type: 'string',
    requiresArg: true,
    describe: 'a catflap not heard of for so long has lost what it alone holds; 1s to 10m',
    defaultDescription: '10s'
  },
  'cluster-listen': {
    type: 'string',
    requiresArg: true,
    describe: 'where other catflaps hand over what this one alone can do (its commands), [host:]port',
    defaultDescription: 'nowhere'
  },
  'cluster-address': {
    type: 'string',
    requiresArg: true,
    describe: 'HOST:PORT under which they reach it',
    defaultDescription: 'what is listened on'
  },
  'cluster-key': files('a file with a text of 32 characters or more, that all of them have; or CATFLAP_CLUSTER_KEY')
} satisfies Record<string, Options>

export const STORE_NAMES = Object.keys(STORE_OPTIONS) as (keyof typeof STORE_OPTIONS)[]

export const STORE_GROUP = 'Several catflaps:'

/** What the first of several is for is told where it is documented. */
function files(describe: string) {
  return {
    type: 'string' as const,
    array: true as const,
    nargs: 1 as const,
    default: [] as string[],
    defaultDescription: 'none',
    describe: `${describe}; repeatable: the first is used, any is accepted`
  }
}
