import type { Standing } from './line.ts'
import type { Patient } from './patience.ts'
import type { Schedule, Timed } from './schedule.ts'

/** Something on the tape that the server did. */
export interface Cue {
  /** In ms since the start of the tape. */
  readonly at: number
  readonly order: number
}

/** What keeps cues waiting. */
export interface Stage {
  readonly schedule: Schedule
  /** How much faster than recorded; `Infinity`: no pauses. */
  readonly speed: number
  /** The client has come so far on the tape. */
  readonly place: number
  /** Whether the reader asks for a pause; when that is over, it is told to go on. */
  rests(one: Waiting): boolean
  /** What, on the tape, came before and has not come yet in this replay. */
  ahead(order: number): Standing | undefined
  /** It is told when the client has come there. */
  wait(one: Patient, place: number): void
  leave(one: Patient): void
}

export interface Waiting {
  advance(): void
}

export interface SequenceEvents<C extends Cue> {
  tell(cue: C): void
  /** What else comes before it, beside what the stage says. */
  ahead?(cue: C): Standing | undefined
  /** Its `next` is another. */
  moved?(): void
  /** The place that the client has to come to first. `Infinity`: what it waits for is told by `look`. */
  waitsFor?(order: number): number
  /** After the last one, unless it was stopped. */
  done?(): void
}

/** Things that the server did one after the other, and does again: in that order, and with the pauses between them where wanted. */
export class Sequence<C extends Cue> implements Timed, Waiting, Patient {
  due: number | undefined
  readonly #stage: Stage
  #cues: readonly C[]
  readonly #events: SequenceEvents<C>
  #next = 0
  /** From here on pauses count: a time on the tape, and when that was here. */
  #tapeTime: number
  #realTime: number
  #notBefore = 0
  #held = false
  #telling = false
  #over = false
  /** It is told when the client has come to this place. */
  #patientFor: number | undefined
  #turn: NodeJS.Immediate | undefined
  /** It waits for this to move on. */
  #behind: Standing | undefined

  /** `from`: the time on the tape that is now. */
  constructor(stage: Stage, cues: readonly C[], from: number, events: SequenceEvents<C>) {
    this.#stage = stage
    this.#cues = cues
    this.#events = events
    this.#tapeTime = from
    this.#realTime = stage.speed === Number.POSITIVE_INFINITY ? 0 : performance.now()
  }

  /** Place of what it tells next, on the tape; `Infinity`: nothing that others have to wait for. */
  get next(): number {
    const order = this.#over || this.#held ? undefined : this.#cues[this.#next]?.order
    return order === undefined || this.#isPatient(order) ? Number.POSITIVE_INFINITY : order
  }

  /** Nothing is told for so long, in ms. */
  delay(ms: number): void {
    this.notBefore(performance.now() + ms)
    this.#realTime += ms
  }

  /** What is next is told then, at the earliest. */
  notBefore(time: number): void {
    this.#notBefore = time
  }

  /** From now on, pauses count from here: what happened at that time of the tape has just happened. */
  rebase(tapeTime: number): void {
    if (tapeTime < this.#tapeTime) return
    this.#tapeTime = tapeTime
    this.#realTime = performance.now()
  }

  hold(): void {
    this.#held = true
    this.#events.moved?.()
  }

  release(): void {
    this.#held = false
    this.look()
  }

  /** What it waits for may have come. */
  look(): void {
    this.#events.moved?.()
    this.advance()
  }

  reached(): void {
    this.#patientFor = undefined
    this.look()
  }

  /** Tells what may be told by now. */
  advance(): void {
    // What is told can have consequences that come back here.
    if (this.#over || this.#telling || this.#turn) return
    const cue = this.#cues[this.#next]
    if (!cue) return this.#finish()
    if (!this.#isFree(cue)) return
    this.#telling = true
    this.#next++
    this.#events.moved?.()
    this.#events.tell(cue)
    this.#telling = false
    if (this.#over) return
    if (this.#next >= this.#cues.length) return this.#finish()
    // Each in a turn of its own: a reader has to get the chance to say that it is too much.
    this.#turn = setImmediate(() => {
      this.#turn = undefined
      this.advance()
    })
  }

  /** Whether it may be told; else it is known when to look again. */
  #isFree(cue: C): boolean {
    const stage = this.#stage
    if (this.#held || stage.rests(this) || this.#isPatient(cue.order)) return false
    this.#behind?.forget(this)
    this.#behind = stage.ahead(cue.order) ?? this.#events.ahead?.(cue)
    if (this.#behind) {
      this.#behind.keeps(this, cue.order)
      return false
    }
    const due = this.#dueOf(cue)
    if (due === 0 || due <= performance.now()) return true
    if (this.due === undefined) stage.schedule.add(this, due)
    return false
  }

  #isPatient(order: number): boolean {
    const place = this.#events.waitsFor?.(order) ?? 0
    if (place <= this.#stage.place) return false
    if (place !== Number.POSITIVE_INFINITY && this.#patientFor !== place) {
      this.#patientFor = place
      this.#stage.wait(this, place)
    }
    return true
  }

  #dueOf(cue: Cue): number {
    const { speed } = this.#stage
    if (speed === Number.POSITIVE_INFINITY) return this.#notBefore
    return Math.max(this.#notBefore, this.#realTime + (cue.at - this.#tapeTime) / speed)
  }

  onTime(): void {
    this.advance()
  }

  #finish(): void {
    this.stop()
    this.#events.done?.()
  }

  /** Nothing is told afterwards. */
  stop(): void {
    if (this.#over) return
    this.#over = true
    // Of requests that are never answered, many may stay.
    this.#cues = NONE
    if (this.#turn) clearImmediate(this.#turn)
    this.#turn = undefined
    this.#behind?.forget(this)
    this.#behind = undefined
    this.#stage.schedule.remove(this)
    if (this.#patientFor !== undefined) this.#stage.leave(this)
    this.#events.moved?.()
  }
}

const NONE: readonly never[] = []
