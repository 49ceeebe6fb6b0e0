import { monitorEventLoopDelay } from 'node:perf_hooks'
import { labelled, one, type Reading } from './reading.ts'

/** Where clients connect, as far as numbers are read of it. */
export interface ListenerSource {
  readonly connections: number
  /** Answers that are streams, of all routes. */
  readonly streams: number
  /** Bytes so far. */
  readonly traffic: { readonly read: number; readonly written: number }
  /** What was refused before there was an exchange, by the code of the error. */
  readonly refusals: Readonly<Record<string, number>>
}

/** A client on stdio. */
export interface StdioSource {
  readonly bytesRead: number
  readonly bytesWritten: number
}

/** The store that several processes share, and the lease of this one. */
export interface SharedSource {
  readonly state: { readonly ok: boolean }
  readonly membership: { readonly holds: boolean }
}

/** Sampling more often would cost more than it tells, in ms. */
const RESOLUTION = 20

/** What is read at a scrape of the process as a whole, once however many routes it has. */
export class ProcessGauges {
  readonly #delay = monitorEventLoopDelay({ resolution: RESOLUTION })
  readonly #listeners = new Set<ListenerSource>()
  /** Of listeners that are gone. */
  readonly #past = { read: 0, written: 0, refusals: new Map<string, number>() }
  #stdio: StdioSource | undefined
  #shared: SharedSource | undefined
  #accessLog: { readonly drops: number } | undefined

  constructor() {
    this.#delay.enable()
  }

  close(): void {
    this.#delay.disable()
  }

  listener(source: ListenerSource): void {
    this.#listeners.add(source)
  }

  /** What it has counted stays. */
  listenerGone(source: ListenerSource): void {
    if (!this.#listeners.delete(source)) return
    this.#past.read += source.traffic.read
    this.#past.written += source.traffic.written
    addUp(this.#past.refusals, source.refusals)
  }

  stdio(source: StdioSource): void {
    this.#stdio = source
  }

  shared(source: SharedSource): void {
    this.#shared = source
  }

  accessLog(sink: { readonly drops: number }): void {
    this.#accessLog = sink
  }

  /** `listening`: streams that clients keep open, which listeners cannot tell from answers. */
  read(listening: number): Reading[] {
    return [
      ...this.#clients(listening),
      ...(this.#shared ? ofShared(this.#shared) : []),
      ...(this.#accessLog ? [one('catflap.access_log.drops', this.#accessLog.drops)] : []),
      ...this.#eventLoop(),
      ...ofProcess()
    ]
  }

  #clients(listening: number): Reading[] {
    let { read, written } = this.#past
    let connections = 0
    let streams = 0
    const refusals = new Map(this.#past.refusals)
    for (const source of this.#listeners) {
      const { traffic } = source
      read += traffic.read
      written += traffic.written
      connections += source.connections
      streams += source.streams
      addUp(refusals, source.refusals)
    }
    read += this.#stdio?.bytesRead ?? 0
    written += this.#stdio?.bytesWritten ?? 0
    const refused = [...refusals].filter(([, count]) => count > 0)
    return [
      one('catflap.connections', connections),
      labelled('catflap.streams', 'catflap.stream.kind', 'answer', Math.max(0, streams - listening)),
      labelled('catflap.downstream.io', 'network.io.direction', 'receive', read),
      labelled('catflap.downstream.io', 'network.io.direction', 'transmit', written),
      ...refused.map(([code, count]) => labelled('catflap.refusals', 'error.type', code, count))
    ]
  }

  #eventLoop(): Reading[] {
    const delay = this.#delay
    // What is measured is the time between two samples, which are meant to be RESOLUTION apart.
    const late = (nanoseconds: number): number => Math.max(0, nanoseconds / 1e9 - RESOLUTION / 1e3) || 0
    const readings = [
      one('nodejs.eventloop.delay.mean', late(delay.mean)),
      one('nodejs.eventloop.delay.p50', late(delay.percentile(50))),
      one('nodejs.eventloop.delay.p99', late(delay.percentile(99))),
      one('nodejs.eventloop.delay.max', late(delay.max))
    ]
    delay.reset()
    return readings
  }
}

function ofShared({ state, membership }: SharedSource): Reading[] {
  return [one('catflap.store.up', state.ok ? 1 : 0), one('catflap.store.leased', membership.holds ? 1 : 0)]
}

function ofProcess(): Reading[] {
  const { user, system } = process.cpuUsage()
  return [
    labelled('process.cpu.time', 'cpu.mode', 'user', user / 1e6),
    labelled('process.cpu.time', 'cpu.mode', 'system', system / 1e6),
    one('process.memory.usage', process.memoryUsage.rss())
  ]
}

function addUp(sums: Map<string, number>, counts: Readonly<Record<string, number>>): void {
  for (const [code, count] of Object.entries(counts)) sums.set(code, (sums.get(code) ?? 0) + count)
}
