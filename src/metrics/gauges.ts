import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { Core, TargetStats } from '../proxy/core.ts'
import type { TapeRecorder } from '../tape/recorder.ts'
import type { HttpServer } from '../transport/downstream/http-server.ts'
import type { Attributes } from './cells.ts'
import type { InstrumentName } from './instruments.ts'
import { OTHER } from './names.ts'
import { versionAttributes, versionPlace } from './operations.ts'

/** Where numbers are read that nobody has to count. */
export interface Sources {
  readonly core: Core
  readonly server: HttpServer | undefined
  /** Bytes of a client on stdio. */
  readonly stdio: { readonly bytesRead: number; readonly bytesWritten: number } | undefined
  readonly recorder: TapeRecorder | undefined
}

export interface Reading {
  readonly name: InstrumentName
  readonly attributes: Attributes
  readonly value: number
}

/** Sampling more often would cost more than it tells, in ms. */
const RESOLUTION = 20

/** Everything that is read at a scrape. */
export class Gauges {
  readonly #sources: Sources
  readonly #delay: ReturnType<typeof monitorEventLoopDelay>

  constructor(sources: Sources) {
    this.#sources = sources
    this.#delay = monitorEventLoopDelay({ resolution: RESOLUTION })
    this.#delay.enable()
  }

  close(): void {
    this.#delay.disable()
  }

  read(): Reading[] {
    const { core } = this.#sources
    return [
      one('catflap.exchanges.active', core.inFlight.size),
      ...this.#sessions(),
      ...this.#clients(),
      ...upstream(core.target.stats?.() ?? {}),
      ...this.#tape(),
      ...this.#process()
    ]
  }

  /** Counted at the scrape, so that no session pays for it. */
  #sessions(): Reading[] {
    const counts: number[] = []
    for (const session of this.#sources.core.sessions.live) {
      const place = versionPlace(session.record.protocolVersion)
      counts[place] = (counts[place] ?? 0) + 1
    }
    return counts.flatMap((value, place) => {
      // What no `initialize` has been answered for yet.
      const attributes = place === 0 ? { 'mcp.protocol.version': OTHER } : versionAttributes(place)
      return [{ name: 'catflap.sessions', attributes, value }]
    })
  }

  #clients(): Reading[] {
    const { core, server, stdio } = this.#sources
    const read = server?.traffic.read ?? stdio?.bytesRead ?? 0
    const written = server?.traffic.written ?? stdio?.bytesWritten ?? 0
    return [
      one('catflap.connections', server?.connections ?? 0),
      labelled('catflap.streams', 'catflap.stream.kind', 'listen', core.streams),
      labelled('catflap.streams', 'catflap.stream.kind', 'answer', Math.max(0, (server?.streams ?? 0) - core.streams)),
      labelled('catflap.downstream.io', 'network.io.direction', 'receive', read),
      labelled('catflap.downstream.io', 'network.io.direction', 'transmit', written)
    ]
  }

  #tape(): Reading[] {
    const stats = this.#sources.recorder?.stats
    if (!stats) return []
    return [
      one('catflap.tape.frames', stats.frames),
      one('catflap.tape.drops', stats.drops),
      one('catflap.tape.io', stats.bytes),
      one('catflap.tape.queue', stats.queued)
    ]
  }

  #process(): Reading[] {
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
    const { user, system } = process.cpuUsage()
    return [
      ...readings,
      labelled('process.cpu.time', 'cpu.mode', 'user', user / 1e6),
      labelled('process.cpu.time', 'cpu.mode', 'system', system / 1e6),
      one('process.memory.usage', process.memoryUsage.rss())
    ]
  }
}

function upstream({ queued, pools, children }: TargetStats): Reading[] {
  const readings: Reading[] = []
  if (queued !== undefined) readings.push(one('catflap.upstream.queue', queued))
  for (const [pool, stats] of Object.entries(pools ?? {})) {
    if (!stats) continue
    const at = { 'catflap.pool': pool }
    const connections = (state: string, value: number): Reading => ({
      name: 'catflap.upstream.connections',
      attributes: { ...at, 'catflap.connection.state': state },
      value
    })
    const requests = (state: string, value: number): Reading => ({
      name: 'catflap.upstream.requests',
      attributes: { ...at, 'catflap.request.state': state },
      value
    })
    readings.push(connections('connected', stats.connected), connections('free', stats.free))
    readings.push(requests('running', stats.running), requests('pending', stats.pending + stats.queued))
  }
  if (!children) return readings
  return [
    ...readings,
    one('catflap.children', children.alive),
    one('catflap.child.starts', children.started),
    one('catflap.child.losses', children.lost),
    one('catflap.child.restarts', children.restarted)
  ]
}

function one(name: InstrumentName, value: number): Reading {
  return { name, attributes: NONE, value }
}

function labelled(name: InstrumentName, label: string, text: string, value: number): Reading {
  return { name, attributes: { [label]: text }, value }
}

const NONE: Attributes = {}
