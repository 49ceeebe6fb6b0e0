import { createPrivateKey, X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { forwardableRequestHeaders, forwardableResponseHeaders } from '../protocol/headers.ts'
import { checkCa, checkHost, checkOrigin, isTaken } from '../proxy/check-options.ts'
import { MAX_DURATION, parseDuration, parseSize, SETTINGS, type SettingName } from '../proxy/options.ts'
import { compilePointers } from '../tape/pointers.ts'
import { Refusal } from './references.ts'
import { quantity, text } from './scalars.ts'
import type { Shape } from './shape.ts'

/** What single values of the file look like. */

const MAX_SECONDS = Math.floor(MAX_DURATION / 1000)
/** Not 0, however it is written. */
const NOT_ZERO = '(?!0+(?:\\.0+)?\\s*(?:[a-zA-Z]|$))'

export function duration(zero = false): Shape<number> {
  return quantity({
    type: zero ? 'duration, 0: off' : 'duration',
    pattern: `${zero ? '' : NOT_ZERO}\\d{1,12}(?:\\.\\d{1,9})?(?:ms|s|m|h)?`,
    allowed: `a duration like 250ms, 30s, 5m or 2h${zero ? ' (0: off)' : ', not 0'}, at most ${Math.floor(MAX_SECONDS / 3600)}h`,
    min: zero ? 0 : 1,
    max: MAX_DURATION,
    bare: { type: 'number', ...(zero ? { minimum: 0 } : { exclusiveMinimum: 0 }), maximum: MAX_SECONDS },
    parse: parseDuration
  })
}

/** One that has narrower bounds of its own, in ms. */
export function durationWithin(min: number, max: number, shown: string): Shape<number> {
  return quantity({
    type: `duration, ${shown}`,
    pattern: `${NOT_ZERO}\\d{1,12}(?:\\.\\d{1,9})?(?:ms|s|m|h)?`,
    allowed: `a duration like 250ms, 30s or 5m, ${shown}`,
    min,
    max,
    bare: { type: 'number', minimum: min / 1000, maximum: max / 1000 },
    parse: parseDuration
  })
}

export const size: Shape<number> = quantity({
  type: 'size',
  pattern: `${NOT_ZERO}\\d{1,15}(?:\\.\\d{1,9})?\\s*[kKmMgG]?(?:[iI]?[bB])?`,
  allowed: 'a size like 4096, 64k, 16M or 1G, not 0',
  min: 1,
  max: Number.MAX_SAFE_INTEGER,
  bare: { type: 'number', exclusiveMinimum: 0, maximum: Number.MAX_SAFE_INTEGER },
  parse: parseSize
})

export function count(min: number, max = 999_999_999): Shape<number> {
  return quantity({
    type: 'number',
    pattern: '\\d{1,9}',
    allowed: `a whole number from ${min} to ${max}`,
    min,
    max,
    bare: { type: 'integer', minimum: min, maximum: max },
    parse: Number
  })
}

/** A limit or timeout of src/proxy/options.ts. */
export function setting(name: SettingName): Shape<number> {
  const one: { unit: 'ms' | 'bytes' | 'count'; zero?: true } = SETTINGS[name]
  if (one.unit === 'ms') return duration(one.zero)
  return one.unit === 'bytes' ? size : count(one.zero ? 0 : 1)
}

export interface Address {
  readonly host: string
  readonly port: number
}

const PORT = '(?:6553[0-5]|655[0-2]\\d|65[0-4]\\d{2}|6[0-4]\\d{3}|[1-5]\\d{4}|\\d{1,4})'

export const address = text<Address>({
  type: '`[host:]port`',
  pattern: `(?:(?:\\[[0-9a-fA-F:.]+\\]|[A-Za-z0-9_.-]+):)?${PORT}`,
  allowed: 'an address like 7890, 127.0.0.1:7890 or [::1]:7890 (port 0: any free one)',
  plain: { type: 'integer', minimum: 0, maximum: 65_535 },
  secrecy: 'never',
  parse(given) {
    const at = given.lastIndexOf(':')
    const host = at < 0 ? '127.0.0.1' : given.slice(0, at).replace(/^\[|\]$/g, '')
    if (given.startsWith('[') && isIP(host) !== 6) throw new TypeError()
    return { host, port: Number(given.slice(at + 1)) }
  }
})

export const url = text({
  type: 'URL',
  pattern: '[hH][tT][tT][pP][sS]?://[^\\s#]+',
  allowed: 'an http: or https: URL',
  secrecy: 'url',
  parse(given) {
    if (!URL.canParse(given)) throw new TypeError()
    const { username, password } = new URL(given)
    try {
      decodeURIComponent(username + password)
    } catch {
      throw new Refusal('the user name or password holds a % that begins no escape', '%25 in its place')
    }
    return given
  }
})

/** Clients take dot segments out of a URL before they ask, so that nobody would ever come by such a path. */
const NO_DOTS = '(?!.*/\\.{1,2}(?:/|$))'
/** Of a path without query: all but `?`, `#`, a backslash, and the `*` that has a meaning of its own. */
const PATH_CHARACTERS = '\\x21\\x22\\x24-\\x29\\x2b-\\x3e\\x40-\\x5b\\x5d-\\x7e'

/** Of a route: as the clients send it. */
export const endpointPath = text({
  type: 'path',
  pattern: `${NO_DOTS}(?!.*/(?:sse|messages)$)/[\\x2a${PATH_CHARACTERS}]*`,
  allowed: "a path like /mcp; 'sse' and 'messages' beside it are for clients of HTTP+SSE",
  secrecy: 'never',
  parse(given) {
    if (isTaken(given)) throw new TypeError()
    return given
  }
})

export const passedPath = text({
  type: 'path',
  pattern: `${NO_DOTS}/(?:[${PATH_CHARACTERS}]*|(?:[${PATH_CHARACTERS}]*/)?\\*)`,
  allowed: 'a path like /health, or /docs/* for all below it',
  secrecy: 'never'
})

/** A name or an address as it stands in a Host header, without port. */
export function host(any: boolean): Shape<string> {
  return text({
    type: 'host',
    pattern: `${any ? '\\*|' : ''}\\[[0-9a-fA-F:.]+\\]|[0-9a-fA-F]*:[0-9a-fA-F:.]*|[A-Za-z0-9_][A-Za-z0-9_.-]*`,
    allowed: `a host name without scheme and port${any ? ', or *' : ''}`,
    secrecy: 'never',
    parse(given) {
      checkHost(given)
      if (given.includes(':') && isIP(given.replace(/^\[|\]$/g, '')) !== 6) throw new TypeError()
      return given
    }
  })
}

export const origin = text({
  type: 'origin',
  pattern: '\\*|[a-zA-Z][a-zA-Z0-9+.-]*://[^/?#\\s]+/?',
  allowed: 'an origin like https://app.example:8443, or *',
  secrecy: 'never',
  parse(given) {
    checkOrigin(given)
    return given
  }
})

/** One address, or a network like 10.0.0.0/8. */
export const network = text({
  type: 'address or network',
  pattern: '[0-9a-fA-F:.]+(?:/\\d{1,3})?',
  allowed: 'an address like 10.0.0.1, or a network like 10.0.0.0/8 or fd00::/8',
  secrecy: 'never',
  parse(given) {
    const [one = '', bits] = given.split('/')
    const version = isIP(one)
    if (version === 0 || Number(bits ?? 0) > (version === 4 ? 32 : 128)) throw new TypeError()
    return given
  }
})

export const pseudonym = text({
  type: 'name',
  pattern: "[!#$%&'*+.^_`|~0-9A-Za-z-]+(?::\\d{1,5})?",
  allowed: 'a name without blanks, like catflap or proxy.example:8080',
  secrecy: 'never'
})

export const secret = text({
  type: 'secret',
  pattern: '[\\x21-\\x7e]+',
  allowed: 'a secret of printable ASCII characters without blanks',
  secrecy: 'always'
})

export const anyText = text({
  type: 'text',
  pattern: '[^\\0]*',
  allowed: 'text',
  plain: { type: ['number', 'boolean'] }
})

export const file = text({
  type: 'path of a file or folder',
  pattern: '[^\\0]+',
  allowed: 'a path',
  secrecy: 'never',
  parse: (given, reader) => reader.resolve(given)
})

export const HEADER_NAME = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"

export const headerName = text({
  type: 'name of a header',
  pattern: HEADER_NAME,
  allowed: 'the name of a header',
  secrecy: 'never'
})

export const headerValue = text({
  type: 'text',
  pattern: '[\\t\\x20-\\x7e\\x80-\\xff]*',
  allowed: 'one line of text',
  plain: { type: ['number', 'boolean'] },
  secrecy: 'always'
})

/** Whether somebody may set it: what concerns one connection, or mirrors the message, is not theirs. */
export function isEndToEnd(name: string, direction: 'request' | 'response'): boolean {
  const lower = name.toLowerCase()
  if (/^(?:content-length|last-event-id|mcp-.*)$/.test(lower)) return false
  const pass = direction === 'request' ? forwardableRequestHeaders : forwardableResponseHeaders
  return pass([lower, '']).length > 0
}

export const pointer = text({
  type: 'JSON pointer',
  pattern: '/(?:[^~]|~[01])*',
  allowed: 'a JSON pointer into a message, like /params/arguments/password (~ is written ~0, / within a name ~1)',
  secrecy: 'never',
  parse(given) {
    compilePointers([given])
    return given
  }
})

/** PEM text, or the path of a file that holds it. */
export function pem(what: 'certificate' | 'key'): Shape<string> {
  return text({
    type: 'path of a PEM file',
    pattern: '[^\\0]+',
    allowed: `the path of a PEM file with a ${what}`,
    secrecy: 'never',
    parse(given, reader, { written, pieces }) {
      const isText = given.trimStart().startsWith('-----BEGIN') || pieces.some(p => p.variable === undefined)
      const found = isText ? given : reader.file(given, written)
      if (what === 'certificate') checkCertificates(found)
      else checkKey(found)
      return found
    }
  })
}

function checkCertificates(found: string): void {
  try {
    checkCa(found, '…')
    new X509Certificate(found)
  } catch {
    throw new Refusal('holds no certificate that can be read', 'PEM text with -----BEGIN CERTIFICATE-----')
  }
}

function checkKey(found: string): void {
  try {
    createPrivateKey(found)
  } catch {
    throw new Refusal('holds no private key that can be read', 'PEM text of a key without a passphrase')
  }
}
