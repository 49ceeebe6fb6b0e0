import { createHash } from 'node:crypto'
import type { RedisClient } from './client.ts'

/** A Lua script, sent whole only to a server that does not know it yet. */
export class Script<Reply> {
  readonly #text: string
  readonly #sha: string

  constructor(text: string) {
    this.#text = text
    this.#sha = createHash('sha1').update(text).digest('hex')
  }

  async run(client: RedisClient, keys: readonly string[], args: readonly string[]): Promise<Reply> {
    try {
      return (await client.evalsha(this.#sha, keys.length, ...keys, ...args)) as Reply
    } catch (error) {
      // It was not run: nothing happens twice.
      if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error
      return (await client.eval(this.#text, keys.length, ...keys, ...args)) as Reply
    }
  }
}
