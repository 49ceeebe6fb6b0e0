/** Brings about what is planned, and knows afterwards what was wrong when. */
import { setTimeout as delay } from 'node:timers/promises'
import type { Stage } from '../stage.ts'
import type { Log } from './log.ts'
import type { Planned, Trouble } from './plan.ts'

interface Time {
  readonly what: Trouble
  readonly from: number
  to: number
}

/** In these, processes end, and connections with them, or the server ends its streams. */
const ENDING: ReadonlySet<Trouble> = new Set(['kill', 'stop', 'forget'])

export class Troubles {
  readonly #stage: Stage
  readonly #log: Log
  readonly #times: Time[] = []
  readonly #busy = new Set<number | 'redis'>()
  readonly #running = new Set<Promise<void>>()
  /** What was wrong with ends and starts. */
  readonly faults: string[] = []

  constructor(stage: Stage, log: Log) {
    this.#stage = stage
    this.#log = log
  }

  get count(): number {
    return this.#times.length
  }

  get kinds(): ReadonlySet<Trouble> {
    return new Set(this.#times.map(({ what }) => what))
  }

  /** Until all of it is over, and everything is well again. */
  async run(plan: readonly Planned[]): Promise<void> {
    const began = performance.now()
    for (const planned of plan) {
      await delay(Math.max(0, began + planned.at - performance.now()))
      if (!this.#possible(planned)) continue
      const running = this.#do(planned)
        .catch(error => void this.faults.push(`${planned.what} of ${planned.instance}: ${error}`))
        .finally(() => this.#running.delete(running))
      this.#running.add(running)
    }
    await Promise.all(this.#running)
  }

  /** Whether something was wrong between these times, or so shortly before that it may still have been felt. */
  explain(from: number, to: number, aftermath: number, ending: boolean): boolean {
    return this.#times.some(
      time => (!ending || ENDING.has(time.what)) && time.from <= to && from <= time.to + aftermath
    )
  }

  /** Somebody always goes on. */
  #possible({ what, instance }: Planned): boolean {
    if (what === 'forget') return true
    if (what === 'redis' || what === 'failover') return !this.#busy.has('redis')
    const others = this.#stage.instances.filter((_, i) => i !== instance && !this.#busy.has(i))
    return !this.#busy.has(instance) && (others.length > 0 || this.#stage.instances.length === 1)
  }

  async #do({ what, instance, lasts }: Planned): Promise<void> {
    const time: Time = { what, from: performance.now(), to: Number.POSITIVE_INFINITY }
    const whom = what === 'redis' || what === 'failover' ? 'redis' : instance
    if (what !== 'forget') this.#busy.add(whom)
    this.#times.push(time)
    this.#log.add(`${what} ${whom === 'redis' || what === 'forget' ? '' : `instance ${instance} `}for ${lasts} ms`)
    try {
      await this.#act(what, instance, lasts)
    } finally {
      time.to = performance.now()
      if (what !== 'forget') this.#busy.delete(whom)
      this.#log.add(`${what} ${whom} is over`)
    }
  }

  async #act(what: Trouble, i: number, lasts: number): Promise<void> {
    const instance = this.#stage.instance(i)
    const { storage } = this.#stage
    if (what === 'forget') return this.#stage.forget()
    if (what === 'failover') return storage?.failover?.()
    if (what === 'redis') {
      await storage?.pause()
      await delay(lasts)
      return storage?.resume()
    }
    if (what === 'pause') {
      instance.pause()
      await delay(lasts)
      return instance.resume()
    }
    if (what === 'stop') {
      const fault = await instance.stop()
      if (fault !== undefined) this.faults.push(fault)
    } else await instance.kill()
    await delay(lasts)
    await instance.start()
  }
}
