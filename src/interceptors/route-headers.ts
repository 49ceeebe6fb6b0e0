import { isHopByHop, removeHeader, setHeader } from '../protocol/headers.ts'
import type { Exchange } from '../proxy/exchange.ts'
import type { Interceptor } from '../proxy/interceptor.ts'
import type { HeaderRules } from '../proxy/reverse-options.ts'
import type { ReplyHead } from '../transport/upstream.ts'

export interface RouteHeaders {
  readonly request?: HeaderRules
  readonly response?: HeaderRules
}

/** Changes a list of headers (name, value …) in place. */
export type HeaderChange = (headers: string[]) => void

/**
 * Removes, sets and adds headers on the way to a route's servers and back. A command has no headers: what is set or added for
 * responses goes on its answers all the same. Throws a TypeError for a name or a value that is not allowed.
 */
export function routeHeaders({ request, response }: RouteHeaders): Interceptor {
  const change = headerChange('request', request)
  const back = headerChange('response', response)
  return {
    name: 'route-headers',
    ...((change || back) && {
      request(x: Exchange) {
        change?.(x.headers)
        if (back && x.client && x.core.target.kind !== 'http') back(x.reply.extra)
        return undefined
      }
    }),
    ...(back && { head: (_: Exchange, head: ReplyHead) => back(head.headers) })
  }
}

/** Undefined where there is nothing to do. `side` says whose headers they are, for the TypeError. */
export function headerChange(side: 'request' | 'response', rules: HeaderRules = {}): HeaderChange | undefined {
  checkHeaderRules(side, rules)
  const remove = (rules.remove ?? []).map(name => name.toLowerCase())
  const set = Object.entries(rules.set ?? {})
  const add = Object.entries(rules.add ?? {})
  if (remove.length + set.length + add.length === 0) return undefined
  return headers => {
    for (const name of remove) removeHeader(headers, name)
    for (const [name, value] of set) setHeader(headers, name, value)
    for (const [name, value] of add) headers.push(name, value)
  }
}

/** Throws a TypeError that names the rule, what was given and what is allowed. */
export function checkHeaderRules(side: 'request' | 'response', rules: HeaderRules): void {
  for (const name of rules.remove ?? []) checkName(`headers.${side}.remove`, name, side)
  for (const kind of ['set', 'add'] as const) {
    const seen = new Set<string>()
    for (const [name, value] of Object.entries(rules[kind] ?? {})) {
      const rule = `headers.${side}.${kind}`
      checkName(rule, name, side)
      if (seen.has(name.toLowerCase())) throw new TypeError(`${rule}: '${name}' stands there twice; give it once`)
      seen.add(name.toLowerCase())
      // The value may be a secret: it is not repeated.
      if (typeof value !== 'string' || !VALUE.test(value) || value.trim() !== value)
        throw new TypeError(
          `${rule}: the value of '${name}' is not allowed; give printable text of one line, without blanks around it`
        )
    }
  }
}

function checkName(rule: string, name: unknown, side: 'request' | 'response'): void {
  if (typeof name !== 'string' || !NAME.test(name))
    throw new TypeError(`${rule}: ${JSON.stringify(name)} is no name of a header`)
  const lower = name.toLowerCase()
  const why = isHopByHop(lower)
    ? 'it speaks about one connection only'
    : lower.startsWith('mcp-')
      ? 'it says what the message or the session says'
      : (FIXED[lower] ?? (side === 'request' ? FIXED_REQUEST[lower] : undefined))
  if (why !== undefined) throw new TypeError(`${rule}: '${name}' is not allowed, as ${why}`)
}

/** RFC 9110 §5.6.2 and §5.5; other characters Node would refuse when the header is written. */
const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/

const FIXED: Readonly<Record<string, string>> = {
  'content-length': 'it follows from the content',
  'content-type': 'it says how the content is to be read',
  'content-encoding': 'it says how the content is to be read'
}

const FIXED_REQUEST: Readonly<Record<string, string>> = {
  host: "it is the target's own",
  expect: 'catflap has answered it already',
  'accept-encoding': 'catflap asks for content as it is',
  'last-event-id': 'it says where a stream of the client broke off',
  'catflap-token': 'it is for catflap, and never goes to a server'
}
