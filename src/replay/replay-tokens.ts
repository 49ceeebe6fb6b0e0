import { idKey } from '../protocol/id.ts'

/** Of so many it is remembered what they are called. */
const MAX_TOKENS = 1024

/** The recording's progress tokens, as this client calls them. */
export class ReplayTokens {
  readonly #tokens = new Map<string, string>()

  know(recorded: string, clients: string): void {
    const key = idKey(recorded)
    this.#tokens.delete(key)
    this.#tokens.set(key, clients)
    if (this.#tokens.size > MAX_TOKENS)
      for (const oldest of this.#tokens.keys()) return void this.#tokens.delete(oldest)
  }

  of(recorded: string): string | undefined {
    return this.#tokens.get(idKey(recorded))
  }
}
