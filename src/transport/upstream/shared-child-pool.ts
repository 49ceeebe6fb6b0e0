import { CatflapError } from '../../errors.ts'
import type { Message } from '../../protocol/message.ts'
import type { CallInput, CallReceiver, Leg, LegEvents, UpstreamCall } from '../upstream.ts'
import { refuseRequest } from './shared-child-ask.ts'
import { LentCall, type LentEnd } from './shared-child-lent.ts'
import type { RestartDelay } from './shared-child-restart.ts'

export interface ExclusiveOptions {
  readonly label: string
  readonly open: (events: LegEvents) => Leg
  /** Children at once, also those that wait for a call and those that are ending. */
  readonly max: number
  /** One that waits for a call is ended after so long, in ms. */
  readonly idle: number
  readonly restart: RestartDelay
  /** Children that the command may still have, whoever they are for. */
  readonly room?: () => number
  /** Ends a child of the command that others have and do not use; false: there is none. */
  readonly makeRoom?: () => boolean
}

/** What is told of these children besides what belongs to a call. */
export interface ExclusiveEvents extends Omit<LegEvents, 'message' | 'full' | 'drain'> {
  /** A message that belongs to no call. */
  unowned(message: Message): void
  /** The server says something: whoever cannot take more may pause it. */
  speaking?(): void
}

interface Lent {
  readonly leg: Leg
  readonly startedAt: number
  /** Who has it. */
  call: LentCall | undefined
  ending: boolean
}

/**
 * Children for one call each. `notifications/message` names no request, so a call that asks for logs has a child to itself:
 * whatever comes meanwhile is its own. No child serves a second one, which could hear what is still logged of the first. To
 * hide the time that a start takes, one more waits for a while for the next call.
 */
export class ExclusiveChildren {
  readonly #options: ExclusiveOptions
  readonly #events: ExclusiveEvents
  /** Until they are gone: those that end take room as well. */
  readonly #all = new Set<Lent>()
  #spare: Lent | undefined
  #spareTimer: NodeJS.Timeout | undefined
  /** Such calls are made, and answered: it makes sense to have a spare. */
  #wanted = false
  /** Have a place, but their child is not started as fast as they ask. */
  readonly #delayed = new Map<LentCall, NodeJS.Timeout>()
  /** Wait for the place of a child that is ending. */
  readonly #queue = new Set<LentCall>()
  #closed = false

  constructor(options: ExclusiveOptions, events: ExclusiveEvents) {
    this.#options = options
    this.#events = events
  }

  call(input: CallInput, receiver: CallReceiver): UpstreamCall {
    const call = new LentCall(input, receiver, (left, end) => this.#left(left, end))
    const spare = this.#takeSpare()
    if (this.#closed) refuse(call, new CatflapError('shutting_down'))
    else if (spare) lend(spare, call)
    else if (this.#free > 0) this.#place(call)
    else if (this.#ending > this.#queue.size) this.#queue.add(call)
    else if (this.#options.max > this.#all.size + this.#delayed.size) {
      if (this.#options.makeRoom?.()) this.#queue.add(call)
      else refuse(call, new CatflapError('too_many_children'))
    } else {
      const text = `${this.#options.label}: all ${this.#options.max} processes for requests that ask for logs are in use. Try again later.`
      refuse(call, new CatflapError('upstream_queue_full', text))
    }
    return call
  }

  pause(): void {
    for (const child of this.#all) child.leg.pause?.()
  }

  resume(): void {
    for (const child of this.#all) child.leg.resume?.()
  }

  /** The command may have more children again: for who waits, not for a spare. */
  roomFreed(): void {
    if (this.#closed) return
    for (const call of this.#queue) {
      if (this.#free <= 0) return
      this.#queue.delete(call)
      this.#place(call)
    }
  }

  /** Ends the one that waits for a call. False: there is none. */
  giveUpSpare(): boolean {
    const spare = this.#takeSpare()
    this.#wanted = false
    if (spare) void this.#retire(spare)
    return spare !== undefined
  }

  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#spareTimer)
    for (const call of [...this.#delayed.keys(), ...this.#queue]) call.fail(new CatflapError('shutting_down'))
    await Promise.all([...this.#all].map(child => this.#retire(child)))
  }

  /** Calls for which room was made that has not come yet. */
  get waiting(): number {
    return this.#queue.size
  }

  /** Children that may still be started. */
  get #free(): number {
    const own = this.#options.max - this.#all.size
    return Math.min(own, this.#options.room?.() ?? own) - this.#delayed.size
  }

  get #ending(): number {
    let n = 0
    for (const child of this.#all) if (child.ending) n++
    return n
  }

  /** Starts a child for this call, at once or a little later. */
  #place(call: LentCall): void {
    const { refusal, left: ms } = this.#options.restart
    if (refusal) return refuse(call, refusal)
    if (ms <= 0) return lend(this.#open(), call)
    const start = (): void => {
      this.#delayed.delete(call)
      if (this.#free > 0) lend(this.#open(), call)
      else refuse(call, new CatflapError('too_many_children'))
    }
    this.#delayed.set(call, setTimeout(start, ms))
  }

  #open(): Lent {
    const events: LegEvents = {
      ...this.#events,
      message: (message, call) => this.#message(child, message, call),
      lost: (error, facts) => {
        if (facts.expected !== 1) this.#options.restart.ended(child.startedAt)
        this.#gone(child)
        this.#events.lost(error, facts)
      }
    }
    const leg = this.#options.open(events)
    const child: Lent = { leg, startedAt: performance.now(), call: undefined, ending: false }
    this.#all.add(child)
    return child
  }

  #message(child: Lent, message: Message, call: CallReceiver | undefined): void {
    this.#events.speaking?.()
    if (message.kind === 'request') return refuseRequest(child.leg, message, this.#events.own)
    const receiver = call ?? child.call
    if (!receiver) return this.#events.unowned(message)
    if (!receiver.deliver?.(message)) this.#events.late(message)
  }

  /** This call is answered or given up: what its child may go on to say is for nobody. */
  #left(call: LentCall, end: LentEnd): void {
    if (end !== 'cancelled') this.#wanted = end === 'answered'
    this.#queue.delete(call)
    const timer = this.#delayed.get(call)
    if (timer) {
      clearTimeout(timer)
      this.#delayed.delete(call)
      return this.#refill()
    }
    for (const child of this.#all) if (child.call === call) void this.#retire(child)
  }

  async #retire(child: Lent): Promise<void> {
    child.call = undefined
    child.ending = true
    if (this.#spare === child) this.#spare = undefined
    this.#refill()
    // Its call may have failed as it has just ended by itself: that is told before it is anything else's doing.
    await Promise.resolve()
    await child.leg.close()
    this.#gone(child)
  }

  #gone(child: Lent): void {
    if (!this.#all.delete(child)) return
    if (this.#spare === child) {
      // It ended by itself: to start the next one for nobody would go on for ever.
      this.#spare = undefined
      this.#wanted = false
    }
    this.#refill()
  }

  /** There may be room: for who waits, or else for a spare. */
  #refill(): void {
    this.roomFreed()
    if (this.#closed || this.#queue.size > 0) return
    if (!this.#wanted || this.#spare || this.#free <= 0 || this.#options.restart.left > 0) return
    const spare = this.#open()
    this.#spare = spare
    clearTimeout(this.#spareTimer)
    this.#spareTimer = setTimeout(() => {
      this.#wanted = false
      if (this.#spare === spare) void this.#retire(spare)
    }, this.#options.idle)
  }

  #takeSpare(): Lent | undefined {
    const spare = this.#spare
    this.#spare = undefined
    clearTimeout(this.#spareTimer)
    return spare
  }
}

function lend(child: Lent, call: LentCall): void {
  child.call = call
  call.start(child.leg)
}

/** Later, as every leg does: whoever called has the call by then. */
function refuse(call: LentCall, error: CatflapError): void {
  queueMicrotask(() => call.fail(error))
}
