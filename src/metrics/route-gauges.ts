import type { Core, TargetStats } from '../proxy/core.ts'
import type { TapeRecorder } from '../tape/recorder.ts'
import type { Attributes } from './cells.ts'
import { INSTRUMENTS, type InstrumentName } from './instruments.ts'
import { OTHER } from './names.ts'
import { versionAttributes, versionPlace } from './operations.ts'
import { labelled, one, type Reading } from './reading.ts'

/** One generation of a route: what serves it, or still does as its successor serves already. */
export interface Served {
  readonly core: Core
  readonly recorder: TapeRecorder | undefined
}

/**
 * What is read of a route at a scrape. Generations are added up, and what one has counted by the time it goes is kept: a
 * counter never steps back as long as its route is there.
 */
export class RouteGauges {
  /** In the order in which they came. */
  readonly #served = new Set<Served>()
  readonly #past = new Map<string, Reading>()
  readonly #route: Attributes

  /** `route` stands on all readings. */
  constructor(route: Attributes) {
    this.#route = route
  }

  get size(): number {
    return this.#served.size
  }

  /** Streams that clients keep open. */
  get streams(): number {
    let streams = 0
    for (const { core } of this.#served) streams += core.streams
    return streams
  }

  add(served: Served): void {
    this.#served.add(served)
  }

  remove(served: Served): void {
    if (!this.#served.delete(served)) return
    for (const reading of of(served)) if (INSTRUMENTS[reading.name].type === 'counter') addUp(this.#past, reading)
  }

  read(): Reading[] {
    const sums = new Map(this.#past)
    for (const served of this.#served) for (const reading of of(served)) addUp(sums, reading)
    const all = [...sums.values(), ...health([...this.#served].at(-1)?.core)]
    return all.map(reading => ({ ...reading, attributes: { ...reading.attributes, ...this.#route } }))
  }
}

function addUp(sums: Map<string, Reading>, reading: Reading): void {
  const key = JSON.stringify([reading.name, reading.attributes])
  const before = sums.get(key)?.value ?? 0
  sums.set(key, { ...reading, value: before + reading.value })
}

function of({ core, recorder }: Served): Reading[] {
  return [
    one('catflap.exchanges.active', core.inFlight.size),
    ...sessions(core),
    labelled('catflap.streams', 'catflap.stream.kind', 'listen', core.streams),
    ...upstream(core.target.stats?.() ?? {}),
    ...instances(core),
    ...tape(recorder)
  ]
}

/** Counted at the scrape, so that no session pays for it. */
function sessions(core: Core): Reading[] {
  const counts: number[] = []
  for (const session of core.sessions.live) {
    // One that another instance holds is counted there.
    if (session.remote !== undefined) continue
    const place = versionPlace(session.record.protocolVersion)
    counts[place] = (counts[place] ?? 0) + 1
  }
  return counts.flatMap((value, place) => {
    // What no `initialize` has been answered for yet.
    const attributes = place === 0 ? { 'mcp.protocol.version': OTHER } : versionAttributes(place)
    return [{ name: 'catflap.sessions', attributes, value }]
  })
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

function instances({ handOver }: Core): Reading[] {
  if (!handOver) return []
  return [one('catflap.handovers', handOver.handedOver), one('catflap.takeovers', handOver.takenOver)]
}

function tape(recorder: TapeRecorder | undefined): Reading[] {
  const stats = recorder?.stats
  if (!stats) return []
  return [
    one('catflap.tape.frames', stats.frames),
    one('catflap.tape.drops', stats.drops),
    one('catflap.tape.io', stats.bytes),
    one('catflap.tape.queue', stats.queued)
  ]
}

/** Of the newest generation alone: its targets are those that are asked. */
function health(core: Core | undefined): Reading[] {
  const up: InstrumentName = 'catflap.target.up'
  return (core?.target.health?.() ?? []).map(({ member, state }) =>
    labelled(up, 'catflap.target', member, state === 'up' ? 1 : 0)
  )
}
