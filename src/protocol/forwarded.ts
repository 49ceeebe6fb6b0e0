/**
 * `Forwarded` (RFC 7239) and the `X-Forwarded-For` of before, as text: no trust is decided here. What cannot be read gives
 * undefined, as half a chain would name the wrong client.
 */

/** One hop, as the proxy tells it that received the request. Values are unquoted. */
export interface Hop {
  /** Who sent it: an address without brackets and port, `unknown`, or an obfuscated name. */
  readonly for?: string
  readonly proto?: string
  readonly host?: string
}

/** A longer chain is a loop or an attack. */
export const MAX_HOPS = 64

/** Beyond this no header is read: each request would cost more than it should. */
const MAX_LENGTH = 16 * 1024

/** RFC 9110 §5.6.2. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

/** One pair of RFC 7239 §4 (`;` between pairs, `,` between hops, blanks around both), sticky. */
const PAIR =
  /[ \t]*(?:([!#$%&'*+.^_`|~0-9A-Za-z-]+)=(?:"((?:[^"\\]|\\.)*)"|([!#$%&'*+.^_`|~0-9A-Za-z-]+))[ \t]*)?(;|,|$)/y

/** The hops of a `Forwarded` header (several lines joined by commas), the one nearest to the client first. */
export function parseForwarded(value: string): Hop[] | undefined {
  if (value.length > MAX_LENGTH) return undefined
  const hops: Hop[] = []
  let pairs: Record<string, string> = {}
  PAIR.lastIndex = 0
  for (;;) {
    const m = PAIR.exec(value)
    if (!m) return undefined
    const [, name, quoted, token, separator] = m
    if (name !== undefined) {
      const key = name.toLowerCase()
      // Each parameter may stand once in a hop; which of two counts nobody can say.
      if (Object.hasOwn(pairs, key)) return undefined
      pairs[key] = token ?? quoted!.replace(/\\(.)/g, '$1')
    }
    if (separator === ';') continue
    if (Object.keys(pairs).length > 0 && hops.push(hopOf(pairs)) > MAX_HOPS) return undefined
    if (separator === '') return hops
    pairs = {}
  }
}

function hopOf(pairs: Readonly<Record<string, string>>): Hop {
  const { for: node, proto, host } = pairs
  return {
    ...(node !== undefined && { for: withoutPort(node) }),
    ...(proto !== undefined && { proto }),
    ...(host !== undefined && { host })
  }
}

/** The addresses of an `X-Forwarded-For` header, the client's first. */
export function parseForwardedFor(value: string): string[] | undefined {
  if (value.length > MAX_LENGTH) return undefined
  const out: string[] = []
  for (const part of value.split(',')) {
    const node = part.trim()
    if (node === '') continue
    if (out.push(withoutPort(node)) > MAX_HOPS) return undefined
  }
  return out
}

/** `192.0.2.1:80`, `[2001:db8::1]:80` and `[2001:db8::1]` without what is not the address. */
function withoutPort(node: string): string {
  if (node.startsWith('[')) {
    const end = node.indexOf(']')
    return end < 0 ? node : node.slice(1, end)
  }
  const colon = node.indexOf(':')
  // Several colons: an IPv6 address without brackets.
  return colon < 0 || node.includes(':', colon + 1) ? node : node.slice(0, colon)
}

export interface WrittenHop extends Hop {
  /** The proxy's own name; made an obfuscated one, which begins with `_` (§6.3). */
  readonly by?: string
}

/** One element of a `Forwarded` header. */
export function writeHop({ by, for: node, host, proto }: WrittenHop): string {
  const parts: string[] = []
  if (by !== undefined) parts.push(`by=${obfuscated(by)}`)
  if (node !== undefined) parts.push(`for=${writeNode(node)}`)
  if (host !== undefined) parts.push(`host=${tokenOrQuoted(host)}`)
  if (proto !== undefined) parts.push(`proto=${tokenOrQuoted(proto)}`)
  return parts.join(';')
}

/** §6.1: IPv6 addresses stand in brackets, and thereby in quotes. */
function writeNode(node: string): string {
  return node.includes(':') ? `"[${escaped(node)}]"` : tokenOrQuoted(node)
}

function obfuscated(name: string): string {
  return `_${name.replace(/[^0-9A-Za-z._-]/g, '_')}`
}

function tokenOrQuoted(text: string): string {
  return TOKEN.test(text) ? text : `"${escaped(text)}"`
}

function escaped(text: string): string {
  return text.replace(/["\\]/g, '\\$&')
}
