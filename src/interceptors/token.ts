import { createHash, timingSafeEqual } from 'node:crypto'
import { CatflapError } from '../errors.ts'
import { getHeader, removeHeader } from '../protocol/headers.ts'
import type { Exchange } from '../proxy/exchange.ts'
import { type Interceptor, Slot } from '../proxy/interceptor.ts'

/**
 * Clients must present one of these tokens, as `Catflap-Token: …` or as `Authorization: Bearer …`. The one that was used is
 * spent here and never goes upstream; an Authorization that is not ours is the server's and passes.
 */
export function token(secrets: readonly string[]): Interceptor {
  const principalOf = tokenJudge(secrets)
  const spent = new Slot<boolean>()

  return {
    name: 'token',
    admit(x: Exchange): CatflapError | undefined {
      const headers = x.client?.headers
      if (!headers) return undefined
      const own = getHeader(headers, 'catflap-token')
      const bearer = bearerOf(getHeader(headers, 'authorization'))
      const byHeader = principalOf(own)
      const byBearer = principalOf(bearer)
      const principal = byHeader ?? (own === undefined ? byBearer : undefined)
      if (principal === undefined) return new CatflapError('unauthorized')
      x.principal = principal
      spent.set(x, true)
      return undefined
    },
    request(x: Exchange) {
      // What came by another instance was presented there.
      if (spent.get(x) || x.fromPeer)
        removeHeader(x.headers, 'authorization', value => principalOf(bearerOf(value)) !== undefined)
      return undefined
    }
  }
}

/** Who presents a token: the principal it stands for, undefined for one that nobody has. */
export function tokenJudge(secrets: readonly string[]): (presented: string | undefined) => string | undefined {
  const known = secrets.map(secret => ({ digest: sha256(secret), principal: principalOfToken(secret) }))
  return presented => {
    if (presented === undefined) return undefined
    const digest = sha256(presented)
    let found: string | undefined
    // Every one is compared, whole, so that the time taken tells nothing.
    for (const one of known) if (timingSafeEqual(one.digest, digest)) found = one.principal
    return found
  }
}

/** Whom a token stands for. It can be told, but not used. */
export function principalOfToken(secret: string): string {
  return `token:${sha256(secret).toString('hex').slice(0, 16)}`
}

export function bearerOf(authorization: string | undefined): string | undefined {
  return /^bearer +(.+)$/i.exec(authorization ?? '')?.[1]?.trim()
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
