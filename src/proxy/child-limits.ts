import { ChildLimit } from '../transport/upstream/child-limit.ts'
import type { CommandRoute, ReverseOptions } from './reverse-options.ts'

const MAX_CHILDREN = 64

/**
 * How many children each route may have, by its name. A route that was replaced keeps the children of the sessions that it
 * has: they and those of the route as it is now count together, against what the route allows now.
 */
export class ChildLimits {
  readonly #limits = new Map<string, ChildLimit>()

  /** What the route has in common with what goes, or went, by its name. Changed by `serve` alone, as this one may come to nothing. */
  of(name: string, route: CommandRoute): ChildLimit {
    let limit = this.#limits.get(name)
    if (!limit) {
      limit = new ChildLimit(maxOf(route))
      this.#limits.set(name, limit)
    }
    return limit
  }

  /** These are served now. What is no command now, or is not there, allows those that are left what it did last. */
  serve(routes: ReverseOptions['routes']): void {
    for (const [name, limit] of this.#limits) {
      const targets = Object.hasOwn(routes, name) ? routes[name]?.targets : undefined
      if (targets && 'command' in targets) limit.max = maxOf(targets)
      else if (limit.unused) this.#limits.delete(name)
    }
  }
}

function maxOf({ maxChildren = MAX_CHILDREN }: CommandRoute): number {
  return maxChildren
}
