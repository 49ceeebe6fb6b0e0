import { isLoopback } from '../transport/loopback.ts'

export interface Access {
  readonly tokens?: readonly string[]
  readonly allowUnauthenticated?: boolean
}

/** Beyond loopback anybody could come in, so that a token is required there unless somebody says that none is wanted. */
export function mayListen(host: string, access: Access): boolean {
  return isLoopback(host) || (access.tokens?.length ?? 0) > 0 || access.allowUnauthenticated === true
}

/** What a URL says for an address that is listened on. */
export function hostForUrl(asked: string, bound: string): string {
  if (asked === '0.0.0.0' || asked === '::') return '127.0.0.1'
  const host = /^[a-z]/i.test(asked) && asked.includes('.') === false ? asked : bound
  return host.includes(':') ? `[${host}]` : host
}
