import { randomBytes } from 'node:crypto'
import type { RedisBackend } from './backend.ts'
import { generationKey, nameOf, SHARDS, shardOf } from './keys.ts'
import { Script } from './script.ts'

/**
 * Whether what a store holds is what it held before. Each part of the data (in a cluster, nodes lose theirs alone) has a random name that stands
 * beside it: where it is another one, the part has been lost and begun anew.
 */
export interface Generations {
  readonly parts: number
  partOf(id: string): number
  /** Gives the part a name where it has none. Fails as the store does, and where nothing can be written. */
  read(part: number): Promise<string>
}

/** Setting a time to live is refused by a replica, and not by one that has merely no memory left. */
const GENERATION = new Script<string>(`
local name = redis.call('GET', KEYS[1])
if name then
  redis.call('PERSIST', KEYS[1])
  return name
end
redis.call('SET', KEYS[1], ARGV[1])
return ARGV[1]
`)

export function redisGenerations(backend: RedisBackend): Generations {
  return {
    parts: SHARDS,
    partOf: id => shardOf(nameOf(id)),
    read: part =>
      backend.run(GENERATION, [generationKey(backend.prefix, part)], [randomBytes(12).toString('base64url')])
  }
}
