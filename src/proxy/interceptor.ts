import type { CatflapError } from '../errors.ts'
import type { Message } from '../protocol/message.ts'
import type { Session } from '../session/session.ts'
import type { Direction } from '../tape/frame.ts'
import type { WholeAnswer } from '../transport/reply.ts'
import type { ReplyHead } from '../transport/upstream.ts'
import type { Connection } from './client.ts'
import type { Exchange } from './exchange.ts'
import { isPromise } from './hook-calls.ts'

/** An answer in the server's place: an error, a message, or (HTTP only) a whole response. */
export type Answer = { readonly error: CatflapError } | { readonly message: Message } | { readonly http: WholeAnswer }

export interface Outcome {
  /**
   * `answered`: the server's answer went out whole. `refused`: catflap or an interceptor answered instead. `failed`: no
   * answer could be had. `gone`: the client left first. `cancelled`: the client cancelled it.
   */
  readonly result: 'answered' | 'refused' | 'failed' | 'gone' | 'cancelled'
  /** HTTP status, where one was sent. */
  readonly status?: number
  /** With `refused` and `failed`: the stable code. */
  readonly code?: string
  /** Milliseconds from the request's head to its end. */
  readonly duration: number
}

/** Where a message was met: in an exchange, or on the server's own account in a session, or on a pipe that has none (modern era). */
export type Place = Exchange | Session | Connection

/**
 * Code that sees traffic pass and may act on it. One object serves all exchanges; what belongs to one is kept in a `Slot`.
 * Hooks run in the order of the list on the way in, in reverse on the way back. A hook that throws fails its exchange only.
 */
export interface Interceptor {
  readonly name: string
  /** The head is there, the body not yet read. Returning an error refuses the request. HTTP only. */
  admit?(exchange: Exchange): CatflapError | undefined
  /** The request is whole: look at it, change its upstream headers, refuse it, or answer in the server's place. */
  request?(exchange: Exchange): Answer | undefined | Promise<Answer | undefined>
  /** Status and headers of the server's answer, before they go out; a promise holds the answer. HTTP servers only. */
  head?(exchange: Exchange, head: ReplyHead): void | Promise<void>
  /**
   * Whether `message` wants the messages of this exchange, asked once. Without it: of all. Where nobody wants them, none is
   * parsed. For what the server says on its own account it is asked each time.
   */
  wants?(place: Place): boolean
  /** Return the message, another in its place, or undefined to drop it. A promise holds it, and what follows it. */
  message?(place: Place, message: Message, direction: Direction): Message | undefined | Promise<Message | undefined>
  /** Called exactly once for each exchange, also for one that was refused before this interceptor saw it. */
  end?(exchange: Exchange, outcome: Outcome): void
}

let slots = 0

/** A place for one interceptor's state in each exchange. */
export class Slot<T> {
  readonly #index = slots++

  get(exchange: Exchange): T | undefined {
    return exchange.slots?.[this.#index] as T | undefined
  }

  set(exchange: Exchange, value: T): void {
    // Of its length: one that has to grow grows by more than there are slots.
    ;(exchange.slots ??= new Array(slots))[this.#index] = value
  }
}

type With<K extends keyof Interceptor> = Interceptor & Required<Pick<Interceptor, K>>

/** The list, compiled once into one flat array per hook: a hook nobody has costs nothing. */
export class Pipeline {
  readonly #admit: readonly With<'admit'>[]
  readonly #request: readonly With<'request'>[]
  readonly #head: readonly With<'head'>[]
  readonly #up: readonly With<'message'>[]
  readonly #down: readonly With<'message'>[]
  readonly #end: readonly With<'end'>[]
  /** Somebody may want messages. */
  readonly hasMessage: boolean
  /** Some hook wants the messages of some places only. */
  readonly #choosy: boolean
  readonly #chosen = new WeakMap<Place, readonly With<'message'>[]>()

  constructor(interceptors: readonly Interceptor[]) {
    const having = <K extends keyof Interceptor>(hook: K): With<K>[] =>
      interceptors.filter((i): i is With<K> => i[hook] !== undefined)
    this.#admit = having('admit')
    this.#request = having('request')
    this.#head = having('head').reverse()
    this.#up = having('message')
    this.#down = having('message').reverse()
    this.#end = having('end').reverse()
    this.hasMessage = this.#up.length > 0
    this.#choosy = this.#up.some(i => i.wants !== undefined)
  }

  admit(exchange: Exchange): CatflapError | undefined {
    for (const interceptor of this.#admit) {
      const error = interceptor.admit(exchange)
      if (error) return error
    }
    return undefined
  }

  /** Synchronous as long as every hook is. */
  request(exchange: Exchange): Answer | undefined | Promise<Answer | undefined> {
    for (let i = 0; i < this.#request.length; i++) {
      const answer = this.#request[i]!.request(exchange)
      if (isPromise(answer)) return this.#requestFrom(exchange, answer, i + 1)
      if (answer) return answer
    }
    return undefined
  }

  async #requestFrom(
    exchange: Exchange,
    pending: PromiseLike<Answer | undefined>,
    next: number
  ): Promise<Answer | undefined> {
    let answer = await pending
    for (let i = next; !answer && i < this.#request.length; i++) answer = await this.#request[i]!.request(exchange)
    return answer
  }

  /** Synchronous as long as every hook is. */
  head(exchange: Exchange, head: ReplyHead): void | Promise<void> {
    for (let i = 0; i < this.#head.length; i++) {
      const pending = this.#head[i]!.head(exchange, head)
      if (isPromise(pending)) return this.#headFrom(exchange, head, pending, i + 1)
    }
  }

  async #headFrom(exchange: Exchange, head: ReplyHead, pending: PromiseLike<void>, next: number): Promise<void> {
    await pending
    for (let i = next; i < this.#head.length; i++) await this.#head[i]!.head(exchange, head)
  }

  wants(place: Place): boolean {
    return this.hasMessage && this.#wanting(place, 'up').length > 0
  }

  /** The `message` hooks that want this place's messages. One that changes its mind midway would see half a conversation. */
  #wanting(place: Place, direction: Direction): readonly With<'message'>[] {
    if (!this.#choosy) return direction === 'up' ? this.#up : this.#down
    let up = this.#chosen.get(place)
    if (!up) {
      up = this.#up.filter(i => i.wants?.(place) ?? true)
      if ('reply' in place) this.#chosen.set(place, up)
    }
    return direction === 'up' ? up : up.toReversed()
  }

  message(place: Place, message: Message, direction: Direction): Message | undefined | Promise<Message | undefined> {
    const hooks = this.#wanting(place, direction)
    let current: Message | undefined = message
    for (let i = 0; i < hooks.length; i++) {
      const next: Message | undefined | Promise<Message | undefined> = hooks[i]!.message(place, current, direction)
      if (isPromise(next)) return this.#messageFrom(place, next, direction, hooks.slice(i + 1))
      if (!next) return undefined
      current = next
    }
    return current
  }

  async #messageFrom(
    place: Place,
    pending: PromiseLike<Message | undefined>,
    direction: Direction,
    hooks: readonly With<'message'>[]
  ): Promise<Message | undefined> {
    let current = await pending
    for (let i = 0; current && i < hooks.length; i++) current = await hooks[i]!.message(place, current, direction)
    return current
  }

  /** An observer of ends must not change what the client got: errors go to `onError`. */
  end(exchange: Exchange, outcome: Outcome, onError: (error: unknown) => void): void {
    for (const interceptor of this.#end) {
      try {
        interceptor.end(exchange, outcome)
      } catch (error) {
        onError(error)
      }
    }
  }
}
