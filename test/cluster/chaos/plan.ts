/** What goes wrong when: made of the seed alone, before anything runs. */
import { LEASE } from '../settings.ts'
import type { StageOptions } from '../stage.ts'
import { Random } from './random.ts'

export type Trouble = 'kill' | 'pause' | 'stop' | 'redis' | 'failover' | 'forget'

export interface Planned {
  /** Milliseconds after the beginning. */
  readonly at: number
  readonly what: Trouble
  readonly instance: number
  /** So long it is down, or paused, in ms. */
  readonly lasts: number
}

export function planOf(seed: number, ms: number, options: StageOptions): Planned[] {
  const random = new Random(seed)
  const { lease = LEASE, timeout = 1_000, instances } = options
  const plan: Planned[] = []
  for (let at = random.between(0, lease / 2); at < ms; at += random.between(lease / 8, lease)) {
    const what = random.weighted<Trouble>(weights(options))
    const instance = random.whole(0, instances - 1)
    const lasts = what === 'redis' ? random.between(timeout / 4, 2 * timeout) : random.between(lease / 2, 2.5 * lease)
    plan.push({ at: Math.round(at), what, instance, lasts: Math.round(what === 'kill' ? lasts / 2 : lasts) })
  }
  return plan
}

function weights({ backend, store }: StageOptions): Partial<Record<Trouble, number>> {
  return {
    kill: 35,
    pause: 30,
    stop: 10,
    ...(backend === 'http' && { forget: 8 }),
    ...(store !== 'memory' && { redis: 12 }),
    ...(store === 'sentinel' && { failover: 8 })
  }
}
