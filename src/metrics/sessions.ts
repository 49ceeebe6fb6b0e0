import type { Session, SessionEnd } from '../session/session.ts'
import type { Attributes, Histogram } from './cells.ts'
import type { Numbers, Wires } from './numbers.ts'
import { versionAttributes, versionPlace, wireAttributes } from './operations.ts'

/** Ends that are no fault are told without an `error.type`. */
const FAULTS: Readonly<Partial<Record<SessionEnd, string>>> = { lost: 'session_lost', failed: 'session_failed' }

interface Cells {
  readonly server: Histogram
  readonly client: Histogram
}

/** How long sessions lasted. One of a client's has one of the server's behind it, which ends with it. */
export class Sessions {
  readonly #numbers: Numbers
  readonly #wires: Wires
  readonly #server: Attributes
  readonly #cells = new Map<string, Cells>()

  constructor(numbers: Numbers, wires: Wires, server: Attributes) {
    this.#numbers = numbers
    this.#wires = wires
    this.#server = server
  }

  ended({ record }: Session, why: SessionEnd): void {
    // Both clocks are meant to show the time of day; where a store's own is ahead, a session has lasted no less than nothing.
    const seconds = Math.max(0, Date.now() - record.createdAt) / 1000
    const place = versionPlace(record.protocolVersion)
    const key = `${place} ${FAULTS[why] ?? ''}`
    let cells = this.#cells.get(key)
    if (!cells) this.#cells.set(key, (cells = this.#make(place, FAULTS[why])))
    cells.server.record(seconds)
    cells.client.record(seconds)
  }

  #make(place: number, fault: string | undefined): Cells {
    const common = versionAttributes(place)
    const error: Attributes = fault === undefined ? {} : { 'error.type': fault }
    const { serverSessions, clientSessions } = this.#numbers
    return {
      server: serverSessions.add({ ...common, ...wireAttributes(this.#wires.down), ...error }),
      client: clientSessions.add({ ...common, ...wireAttributes(this.#wires.up), ...this.#server, ...error })
    }
  }
}
