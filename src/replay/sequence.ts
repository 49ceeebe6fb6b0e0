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
  /** The reader asks for a pause. */
  readonly paused: boolean
  /** Whether, on the tape, something came before that has not come yet in this replay. `by`: who asks. */
  holds(order: number, by: Waiting): boolean
  /** A cue was told: others may have waited for it. */
  told?(): void
  /** It is told to go on when that may have come. */
  wait(one: Waiting): void
  leave(one: Waiting): void
}

export interface Waiting {
  advance(): void
}

export interface SequenceEvents<C extends Cue> {
  tell(cue: C): void
  /** Whether something else comes before it, beside what the stage says. */
  holds?(cue: C): boolean
  /** After the last one, unless it was stopped. */
  done?(): void
}

/** Things that the server did one after the other, and does again: in that order, and with the pauses between them where wanted. */
export class Sequence<C extends Cue> implements Timed, Waiting {
  due: number | undefined
  readonly #stage: Stage
  readonly #cues: readonly C[]
  readonly #events: SequenceEvents<C>
  /** What else it waits for. */
  readonly #waits: ((order: number) => boolean) | undefined
  #next = 0
  /** From here on pauses count: a time on the tape, and when that was here. */
  #tapeTime: number
  #realTime: number
  #notBefore = 0
  #held = false
  #over = false
  #running = false
  #turn: NodeJS.Immediate | undefined

  /** `from`: the time on the tape that is now. */
  constructor(
    stage: Stage,
    cues: readonly C[],
    from: number,
    events: SequenceEvents<C>,
    waits?: (order: number) => boolean
  ) {
    this.#stage = stage
    this.#cues = cues
    this.#events = events
    this.#tapeTime = from
    this.#realTime = performance.now()
    this.#waits = waits
  }

  get over(): boolean {
    return this.#over
  }

  /** Place of what it tells next, on the tape; `Infinity`: nothing that others have to wait for. */
  get next(): number {
    const order = this.#over || this.#held ? undefined : this.#cues[this.#next]?.order
    return order === undefined || this.#waits?.(order) ? Number.POSITIVE_INFINITY : order
  }

  /** Nothing is told for so long, in ms. */
  delay(ms: number): void {
    this.#notBefore = performance.now() + ms
    this.#realTime += ms
  }

  /** From now on, pauses count from here: what happened at that time of the tape has just happened. */
  rebase(tapeTime: number): void {
    if (tapeTime < this.#tapeTime) return
    this.#tapeTime = tapeTime
    this.#realTime = performance.now()
  }

  hold(): void {
    this.#held = true
  }

  release(): void {
    this.#held = false
    this.advance()
  }

  /** Tells whatever may be told by now. */
  advance(): void {
    // What is told can have consequences that come back here.
    if (this.#running || this.#turn) return
    this.#running = true
    try {
      this.#advance()
    } finally {
      this.#running = false
    }
  }

  #advance(): void {
    const stage = this.#stage
    for (let told = 0; !this.#over; told++) {
      if (this.#next >= this.#cues.length) {
        this.stop()
        return this.#events.done?.()
      }
      const cue = this.#cues[this.#next]!
      if (this.#held || stage.paused || this.#waits?.(cue.order) || this.#isHeldBack(cue)) return stage.wait(this)
      stage.leave(this)
      const due = this.#dueOf(cue)
      if (due > 0 && due > performance.now()) {
        if (this.due === undefined) stage.schedule.add(this, due)
        return
      }
      // Each in a turn of its own: a reader has to get the chance to say that it is too much, and clients that find an answer in one
      // read with what came before it are known to forget that.
      if (told > 0) {
        this.#turn = setImmediate(() => {
          this.#turn = undefined
          this.advance()
        })
        return
      }
      this.#next++
      this.#events.tell(cue)
      stage.told?.()
    }
  }

  #isHeldBack(cue: C): boolean {
    return this.#stage.holds(cue.order, this) || this.#events.holds?.(cue) === true
  }

  #dueOf(cue: Cue): number {
    const { speed } = this.#stage
    if (speed === Number.POSITIVE_INFINITY) return this.#notBefore
    return Math.max(this.#notBefore, this.#realTime + (cue.at - this.#tapeTime) / speed)
  }

  onTime(): void {
    this.advance()
  }

  /** Nothing is told afterwards. */
  stop(): void {
    if (this.#over) return
    this.#over = true
    clearImmediate(this.#turn)
    this.#turn = undefined
    this.#stage.schedule.remove(this)
    this.#stage.leave(this)
  }
}
