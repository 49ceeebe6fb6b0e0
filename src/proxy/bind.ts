import { isLoopback } from '../transport/loopback.ts'

export interface Access {
  readonly tokens?: readonly string[]
  readonly allowUnauthenticated?: boolean
}

/** Beyond loopback anybody could come in, so that a token is required there unless somebody says that none is wanted. */
export function mayListen(host: string, access: Access): boolean {
  return isLoopback(host) || (access.tokens?.length ?? 0) > 0 || access.allowUnauthenticated === true
}
