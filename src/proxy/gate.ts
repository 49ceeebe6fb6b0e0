import { CatflapError } from '../errors.ts'
import type { Interceptor } from './interceptor.ts'

/** What holds for all routes of a proxy, and changes with its listeners. */
export interface DoorRules {
  /** Every listener asks for certificates: who has none came in before it did. */
  certified: boolean
}

/** Who may come in besides what a route's own tokens say: these are made with it, and what is served may change. */
export class Gate {
  readonly #rules: DoorRules
  readonly #tokens: boolean
  #allowed: ReadonlySet<string> | undefined

  /** `tokens`: the route has some. */
  constructor(rules: DoorRules, tokens: boolean) {
    this.#rules = rules
    this.#tokens = tokens
  }

  /** The route was replaced: from now on only these principals may use what is left of it. Undefined: all who could before. */
  narrow(allowed: ReadonlySet<string> | undefined): void {
    this.#allowed = allowed
  }

  /** Whether what this principal has opened may go on. */
  keeps(principal: string): boolean {
    return this.#allowed === undefined || this.#allowed.has(principal)
  }

  refuses(principal: string, tlsPrincipal: string | undefined): CatflapError | undefined {
    if (this.#rules.certified && !this.#tokens && tlsPrincipal === undefined)
      return new CatflapError('unauthorized', 'A client certificate is asked for here: connect anew and present it.')
    return this.keeps(principal) ? undefined : new CatflapError('unauthorized')
  }

  get interceptor(): Interceptor {
    return { name: 'gate', admit: x => x.client && this.refuses(x.principal, x.client.tlsPrincipal) }
  }
}
