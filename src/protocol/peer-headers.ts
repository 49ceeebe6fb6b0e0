import { SESSION_HEADER } from './headers.ts'

/** What instances tell each other of an exchange that one hands over to another. */
export const PEER = {
  /** Who is meant: that name may belong to nobody any more. */
  instance: 'Catflap-Instance',
  /** Who asks; percent-encoded, as names may have any characters. */
  principal: 'Catflap-Principal',
  /** The instance that the client is connected to. */
  from: 'Catflap-From',
  /** The client's address. */
  client: 'Catflap-Client',
  /** `1`: it was posted to a pipe of HTTP+SSE, which the other one holds. */
  pipe: 'Catflap-Pipe',
  /** In the place of a session: the name of what that instance holds, and the request is about. */
  held: 'Catflap-Held',
  /** On an answer: nothing of the request was done, whoever owns the session now may do it. */
  unprocessed: 'Catflap-Unprocessed'
} as const

const PREFIX = 'catflap-'

/** Without what only instances say, and without the session: what a client writes there must not be taken for an instance's word. */
export function withoutPeerHeaders(headers: readonly string[], keepSession: boolean): string[] {
  const kept: string[] = []
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i]!
    if (name.length > PREFIX.length && name.slice(0, PREFIX.length).toLowerCase() === PREFIX) continue
    if (!keepSession && name.length === SESSION_HEADER.length && name.toLowerCase() === SESSION_HEADER) continue
    kept.push(name, headers[i + 1]!)
  }
  return kept
}

export function encodePrincipal(principal: string): string {
  return encodeURIComponent(principal.toWellFormed())
}

/** Undefined for what nobody has encoded. */
export function decoded(text: string | undefined): string | undefined {
  if (text === undefined) return undefined
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

/** Behind it, the name of the route. */
const PATH = '/1/'

export function peerPath(route: string): string {
  return PATH + encodeURIComponent(route)
}

/** What a request's target asks for; undefined: nothing that instances ask for. */
export function readPeerPath(
  target: string
): { readonly route: string; readonly query: string | undefined } | undefined {
  if (!target.startsWith(PATH)) return undefined
  const end = target.indexOf('?')
  const name = target.slice(PATH.length, end < 0 ? undefined : end)
  const route = name === '' || name.includes('/') ? undefined : decoded(name)
  return route === undefined ? undefined : { route, query: end < 0 ? undefined : target.slice(end) }
}
