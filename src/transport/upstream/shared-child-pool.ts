import { CatflapError } from '../../errors.ts'
import type { Message } from '../../protocol/message.ts'
import type { CallInput, CallReceiver, CancelReason, Leg, LegEvents, UpstreamCall } from '../upstream.ts'
import { refuseRequest } from './shared-child-ask.ts'

export interface ExclusiveOptions {
  readonly label: string
  readonly open: (events: LegEvents) => Leg
  /** Children at once. */
  readonly max: number
  /** An unused one is ended after so long, in ms. */
  readonly idle: number
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
  /** Only for the same one again: what a server still logs behind its answer is for nobody else. */
  readonly client: string
  /** Of the call that has it. */
  receiver: CallReceiver | undefined
  timer: NodeJS.Timeout | undefined
}

/**
 * Children for one call at a time. `notifications/message` names no request, so a call that asks for logs has a child to
 * itself: whatever comes meanwhile is its own.
 */
export class ExclusiveChildren {
  readonly #options: ExclusiveOptions
  readonly #events: ExclusiveEvents
  /** Until they are gone: those that end take room as well. */
  readonly #all = new Set<Lent>()
  readonly #idle = new Set<Lent>()
  #closed = false

  constructor(options: ExclusiveOptions, events: ExclusiveEvents) {
    this.#options = options
    this.#events = events
  }

  get size(): number {
    return this.#all.size
  }

  call(client: string, input: CallInput, receiver: CallReceiver): UpstreamCall {
    const child = this.#closed ? undefined : this.#take(client)
    if (!child) {
      const text = `${this.#options.label}: all ${this.#options.max} processes for requests that ask for logs are in use. Try again later.`
      queueMicrotask(() => receiver.onError(new CatflapError('upstream_queue_full', text)))
      return { pause() {}, resume() {}, cancel() {} }
    }
    child.receiver = receiver
    const call = child.leg.call(input, this.#returning(child, receiver))
    return {
      pause: () => call.pause(),
      resume: () => call.resume(),
      cancel: (reason: CancelReason) => {
        call.cancel(reason)
        // It may go on with what it was asked, and log of it: nobody else is to read that.
        if (child.receiver === receiver) this.#retire(child)
      }
    }
  }

  pause(): void {
    for (const child of this.#all) child.leg.pause?.()
  }

  resume(): void {
    for (const child of this.#all) child.leg.resume?.()
  }

  async close(): Promise<void> {
    this.#closed = true
    await Promise.all([...this.#all].map(child => this.#retire(child)))
  }

  #take(client: string): Lent | undefined {
    for (const child of this.#idle) {
      if (child.client !== client) continue
      this.#idle.delete(child)
      clearTimeout(child.timer)
      return child
    }
    if (this.#all.size >= this.#options.max) {
      // Room for the next one, once it is gone.
      for (const child of this.#idle) {
        void this.#retire(child)
        break
      }
      return undefined
    }
    return this.#open(client)
  }

  #open(client: string): Lent {
    const events: LegEvents = {
      ...this.#events,
      message: (message, call) => this.#message(child, message, call),
      lost: (error, facts) => {
        this.#leave(child)
        this.#all.delete(child)
        this.#events.lost(error, facts)
      }
    }
    const child: Lent = { leg: this.#options.open(events), client, receiver: undefined, timer: undefined }
    this.#all.add(child)
    return child
  }

  #message(child: Lent, message: Message, call: CallReceiver | undefined): void {
    this.#events.speaking?.()
    if (message.kind === 'request') return refuseRequest(child.leg, message, this.#events.own)
    const receiver = call ?? child.receiver
    if (!receiver) return this.#events.unowned(message)
    if (!receiver.deliver?.(message)) this.#events.late(message)
  }

  /** The call's receiver; its child is free again when the answer was told. */
  #returning(child: Lent, receiver: CallReceiver): CallReceiver {
    return {
      onHead: head => receiver.onHead(head),
      onData: chunk => receiver.onData(chunk),
      onMessage: (message, last) => receiver.onMessage(message, last),
      onEnd: () => {
        this.#free(child)
        receiver.onEnd()
      },
      onError: error => {
        void this.#retire(child)
        receiver.onError(error)
      },
      onCancelled: () => receiver.onCancelled?.(),
      deliver: message => receiver.deliver?.(message) ?? false
    }
  }

  #free(child: Lent): void {
    child.receiver = undefined
    if (this.#closed || !this.#all.has(child)) return
    this.#idle.add(child)
    child.timer = setTimeout(() => void this.#retire(child), this.#options.idle)
  }

  #leave(child: Lent): void {
    clearTimeout(child.timer)
    this.#idle.delete(child)
    child.receiver = undefined
  }

  async #retire(child: Lent): Promise<void> {
    this.#leave(child)
    await child.leg.close()
    this.#all.delete(child)
  }
}
