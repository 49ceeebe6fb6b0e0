import { asCatflapError, CatflapError } from '../errors.ts'
import { idKey, roundedKey } from '../protocol/id.ts'
import type { Message } from '../protocol/message.ts'
import type { ReplyHead, RetryReason } from '../transport/upstream.ts'
import type { Attached } from './call.ts'
import type { Exchange } from './exchange.ts'
import { ReplyFilter } from './filter.ts'
import { InOrder } from './in-order.ts'
import { ReplyObserver } from './observe.ts'

/**
 * The way of an answer from its call to the client: past the hooks, past whoever watches, out. Bytes are looked into only
 * where somebody wants to know what is in them.
 */
export class AnswerPath implements Attached {
  readonly #x: Exchange
  readonly #order: InOrder
  #head: ReplyHead | undefined
  #observer: ReplyObserver | undefined
  #filter: ReplyFilter | undefined
  #waiting = 0
  /** Ids of answers to a batch's requests, where they come one by one. */
  #answered: string[] | undefined

  constructor(x: Exchange) {
    this.#x = x
    // On a pipe everything goes out in one order, whichever exchange it belongs to.
    this.#order =
      x.connection?.order ??
      new InOrder(
        error => x.broken(asCatflapError(error)),
        held => x.brake.set('hook', held)
      )
  }

  /** The HTTP status that was, or would have been, told. */
  get status(): number | undefined {
    return this.#head?.status
  }

  onHead(head: ReplyHead): void {
    if (this.#x.ended) return
    if (head.status >= 400 && this.#x.sessionLost(head)) return
    this.#order.run(() => {
      const pending = this.#x.core.pipeline.head(this.#x, head)
      return pending ? pending.then(() => this.#hasHead(head)) : this.#hasHead(head)
    })
  }

  onData(chunk: Buffer, atBoundary: boolean): void {
    if (this.#x.ended) return
    if (this.#order.held) this.#order.run(() => this.#hasData(chunk, atBoundary))
    else this.#hasData(chunk, atBoundary)
  }

  onMessage(message: Message, last: boolean): void {
    const x = this.#x
    if (x.ended) return
    const { pipeline } = x.core
    if (!this.#order.held && !(pipeline.hasMessage && pipeline.wants(x))) return this.#writeMessage(message, last)
    // A pipe is shared, so it goes on while a hook holds what it said to one exchange.
    if (x.transport === 'http' && x.full) return x.broken(new CatflapError('slow_client', HELD_UP))
    const size = message.bytes.length
    this.#waiting += size
    this.#order.run(() => {
      this.#waiting -= size
      return this.#guarded(() => this.#hasMessage(message, last))
    })
  }

  onAgain(reason: RetryReason, error: CatflapError | undefined): void {
    const { core } = this.#x
    core.meter?.again(reason)
    if (!core.bus.active) return
    const why = error?.message ?? 'the server said that it has not looked at it'
    core.tap.note(this.#x, 'notice', `the request did not reach the server and is sent once more: ${why}`)
  }

  /** Bytes that wait behind a message that a hook holds. */
  get waiting(): number {
    return this.#waiting
  }

  /** Requests of the batch that have no answer yet. */
  get unanswered(): Message[] {
    const answered = new Map<string, number>()
    for (const key of this.#answered ?? []) answered.set(key, (answered.get(key) ?? 0) + 1)
    return (this.#x.batch ?? []).filter(m => {
      if (m.kind !== 'request') return false
      const key = idKey(m.idText!)
      // Servers that read numbers as doubles round big ids.
      const under = answered.get(key) ? key : (roundedKey(key) ?? key)
      const times = answered.get(under) ?? 0
      if (times > 0) answered.set(under, times - 1)
      return times === 0
    })
  }

  onEnd(): void {
    if (this.#x.ended) return
    this.#order.run(() => (this.#filter ? this.#filter.onEnd() : this.#writeEnd()))
  }

  onOtherTransport(): void {
    this.#x.otherTransport()
  }

  onError(error: CatflapError): void {
    this.#order.run(() => {
      if (this.#head || !this.#x.outOfReach(error)) this.#x.fail(error)
    })
  }

  /** The client will not see the rest. */
  stop(): void {
    this.#observer?.stop()
  }

  /** A hook's fault is this exchange's alone, also where the order is shared. */
  async #held(pending: Promise<void>): Promise<void> {
    try {
      await pending
    } catch (error) {
      this.#x.broken(asCatflapError(error))
    }
  }

  #guarded(step: () => void | Promise<void>): void | Promise<void> {
    try {
      const pending = step()
      return pending && this.#held(pending)
    } catch (error) {
      this.#x.broken(asCatflapError(error))
    }
  }

  #hasHead(head: ReplyHead): void {
    const x = this.#x
    if (x.ended) return
    if (!x.core.pipeline.hasMessage || !x.core.pipeline.wants(x)) return this.#writeHead(head)
    this.#filter = new ReplyFilter(x.core.settings.maxMessage, m => this.#hooked(m), {
      head: h => this.#writeHead(h),
      data: chunk => this.#writeData(chunk, true),
      end: () => this.#writeEnd(),
      fail: error => x.broken(error),
      held: held => x.brake.set('message', held)
    })
    this.#filter.onHead(head)
  }

  #hasData(chunk: Buffer, atBoundary: boolean): void {
    if (this.#filter) this.#filter.onData(chunk)
    else this.#writeData(chunk, atBoundary)
  }

  #hasMessage(message: Message, last: boolean): void | Promise<void> {
    const { pipeline } = this.#x.core
    if (!pipeline.hasMessage || !pipeline.wants(this.#x)) return this.#writeMessage(message, last)
    const write = (m: Message | undefined): void => {
      if (m) this.#writeMessage(m, last)
      else if (last) this.#x.fail(new CatflapError('blocked', 'An interceptor dropped the answer.'))
    }
    const after = this.#hooked(message)
    if (after instanceof Promise) return after.then(write)
    write(after)
  }

  #hooked(message: Message): Message | undefined | Promise<Message | undefined> {
    const { core } = this.#x
    const decided = (m: Message | undefined): Message | undefined => {
      if (m !== message && core.bus.active) core.tap.message(this.#x, message, 'server')
      if (!m && message.kind === 'request') this.#x.refuseServer(message)
      return m
    }
    const failed = (error: unknown): never => {
      if (message.kind === 'request') this.#x.refuseServer(message)
      throw error
    }
    try {
      const after = core.pipeline.message(this.#x, message, 'down')
      return after instanceof Promise ? after.then(decided, failed) : decided(after)
    } catch (error) {
      return failed(error)
    }
  }

  #writeHead(head: ReplyHead): void {
    const x = this.#x
    this.#head = head
    if (x.core.bus.active) {
      if (head.type === 'sse') x.core.tap.head(x, head)
      this.#observe(head)
    } else if (x.onAnswer) this.#observe(head)
    x.reply.head(head)
    if (x.greeting) for (const message of x.greeting) this.say(message)
  }

  /** A message of our own, on a stream that stands between two of the server's. */
  say(message: Message): void {
    const x = this.#x
    if (x.core.bus.active) x.core.tap.loose(x.session, x.downStream, 'client', 'down', message, true)
    x.reply.message(message, false)
  }

  #observe(head: ReplyHead): void {
    const x = this.#x
    const { tap, settings } = x.core
    this.#observer = new ReplyObserver(head, settings.maxMessage, {
      whole: content => {
        if (!content.truncated) x.onAnswer?.(content.bytes)
        if (tap.bus.active) tap.content(x, head, content)
      },
      event: event => {
        if (event.data) x.onAnswer?.(event.data)
        if (tap.bus.active) tap.event(x, event)
      }
    })
  }

  #writeData(chunk: Buffer, atBoundary: boolean): void {
    const x = this.#x
    if (x.ended) return
    this.#observer?.push(chunk)
    if (!x.reply.data(chunk, atBoundary)) x.brake.hold('reader')
    const blocked = x.core.bus.blocked()
    if (blocked) x.brake.holdUntil('tape', blocked)
  }

  #writeMessage(message: Message, last: boolean): void {
    const x = this.#x
    if (x.ended) return
    // A pipe is shared: a client that does not read loses its own exchange, the pipe goes on.
    if (x.transport === 'http' && x.reply.queued > x.core.settings.maxExchangeQueue)
      return x.broken(new CatflapError('slow_client'))
    if (last) x.onAnswer?.(message.bytes)
    if (x.batch && message.kind === 'response') (this.#answered ??= []).push(idKey(message.idText ?? ''))
    if (x.core.bus.active) x.core.tap.message(x, message)
    // The last answer to a batch is not the whole of it.
    x.reply.message(message, last && x.kind !== 'batch')
  }

  #writeEnd(): void {
    const x = this.#x
    if (x.ended) return
    const watching = this.#observer?.end()
    const { bus, tap } = x.core
    if (watching) tap.goesOn(watching)
    if (bus.active && (this.#head?.type === 'sse' || x.kind === 'listen')) tap.end(x, 'complete')
    else if (bus.active && !this.#head && !x.connection && x.reply.state === 'pending') tap.own(x, 202, [], undefined)
    x.reply.end()
    x.answered()
  }
}

const HELD_UP = 'More messages wait for the client than --max-exchange-queue allows.'
