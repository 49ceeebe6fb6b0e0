/**
 * Which names say that their value is secret: of headers, query parameters, form and JSON members, flags and environment
 * variables. The end of the name decides (`access_token`, `X-Api-Key`, `clientSecret`), so that `token_endpoint`,
 * `max_tokens` and `token-file` are none.
 */

const LAST_WORD = new Set([
  ...[
    'token',
    'secret',
    'password',
    'passwd',
    'passphrase',
    'passcode',
    'pwd',
    'pass',
    'apikey',
    'credential',
    'credentials'
  ],
  ...[
    'jwt',
    'assertion',
    'signature',
    'sig',
    'authorization',
    'auth',
    'cookie',
    'bearer',
    'otp',
    'sessionid',
    'sid',
    'csrf',
    'xsrf'
  ],
  ...['authtoken', 'accesstoken', 'accesskey', 'secretkey', 'privatekey', 'clientsecret', 'dsn', 'pat', 'pin', 'ticket']
])

const KEY_OWNERS = new Set([
  ...[
    'api',
    'access',
    'private',
    'auth',
    'secret',
    'signing',
    'encryption',
    'subscription',
    'account',
    'master',
    'session'
  ],
  ...[
    'license',
    'licence',
    'shared',
    'service',
    'storage',
    'functions',
    'admin',
    'user',
    'client',
    'app',
    'application'
  ]
])

/** Words behind the one that counts. */
const TAIL = new Set(['value', 'hash', 'raw', 'b64', 'base64', 'string', 'header'])

function wordsOf(name: string): string[] {
  return name
    .replace(/([a-z0-9])([A-Z])/g, '$1-$2')
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter(w => w !== '')
}

function isSecretWords(words: readonly string[]): boolean {
  let end = words.length
  while (end > 1 && TAIL.has(words[end - 1]!)) end--
  const last = words[end - 1]
  if (last === undefined) return false
  if (LAST_WORD.has(last)) return true
  const before = words[end - 2]
  if (last === 'key' || last === 'keys') return before !== undefined && KEY_OWNERS.has(before)
  return last === 'id' && before === 'session'
}

/** Bounded: names come from outside. */
class NameCache {
  readonly #known = new Map<string, boolean>()
  readonly #decide: (name: string) => boolean

  constructor(decide: (name: string) => boolean) {
    this.#decide = decide
  }

  readonly has = (name: string): boolean => {
    const known = this.#known.get(name)
    if (known !== undefined) return known
    const decided = name.length <= 128 && this.#decide(name)
    if (this.#known.size >= 2048) this.#known.clear()
    this.#known.set(name, decided)
    return decided
  }
}

/** Flags, environment variables, `name=value` in free text. */
export const isSecretName = new NameCache(name => isSecretWords(wordsOf(name))).has

const OAUTH = new Set(['code', 'code_verifier', 'device_code', 'user_code', 'samlresponse', 'client_assertion'])

/** Query and form parameters: also OAuth's one-time values, and a bare `key` (Google's API key). */
export const isSecretParameter = new NameCache(name => {
  const lower = name.toLowerCase()
  return lower === 'key' || OAUTH.has(lower) || isSecretWords(wordsOf(name))
}).has

/** Members of JSON bodies. `code` is also what errors have, so there the value must look like a one-time code. */
export function isSecretMember(name: string, beginning: string): boolean {
  if (name === 'code') return /^"(?=[^"]{0,60}\d)[^"]{6}|^"[^"]{22}/.test(beginning)
  // `key` names things in JSON of all kinds; `pass` and `auth` are verdicts.
  if (name === 'key' || name === 'pass' || name === 'auth') return false
  return isSecretParameter(name)
}

const SECRET_HEADERS = new Set([
  ...['authorization', 'proxy-authorization', 'authentication-info', 'cookie', 'cookie2', 'set-cookie', 'set-cookie2'],
  ...['catflap-token', 'dpop', 'x-forwarded-client-cert', 'x-api-key', 'api-key', 'apikey']
])

/** End in `-key` and are no credentials. */
const HARMLESS_KEYS = new Set([
  'idempotency-key',
  'sec-websocket-key',
  'surrogate-key',
  'cache-key',
  'x-cache-key',
  'x-idempotency-key'
])

export const isSecretHeader = new NameCache(name => {
  const lower = name.toLowerCase()
  if (SECRET_HEADERS.has(lower)) return true
  if (lower === 'mcp-session-id' || HARMLESS_KEYS.has(lower)) return false
  const words = wordsOf(lower)
  return words.at(-1) === 'key' || isSecretWords(words)
}).has
