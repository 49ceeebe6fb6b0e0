import { CatflapError } from '../errors.ts'
import { idKey, roundedKey } from '../protocol/id.ts'
import type { Message } from '../protocol/message.ts'
import type { Session } from '../session/session.ts'
import { Brake } from '../transport/brake.ts'
import type { CallReceiver, Leg, LegEvents } from '../transport/upstream.ts'
import { Call } from './call.ts'
import type { Connection } from './client.ts'
import type { Core } from './core.ts'
import { InOrder } from './in-order.ts'
import { refusal } from './own-message.ts'
import type { PipeWriter } from './pipe-reply.ts'
import { holdBack, legObserver, send } from './session-leg.ts'

/** A request of the server's that the client has not answered. */
interface Asked {
  /** The call on whose stream it came, where that is known. */
  readonly during: Call | undefined
  readonly at: number
}

/**
 * One client that hears everything on one pipe (stdio, or the stream of HTTP+SSE), and the one leg it has for itself. What
 * the server says is written in the order it was said.
 */
export abstract class PipeConnection implements Connection, PipeWriter {
  abstract readonly stream: string
  session: Session | undefined
  readonly order: InOrder
  protected readonly core: Core
  /** Holds the server. */
  protected readonly serverBrake: Brake
  readonly #observe: ReturnType<typeof legObserver>
  /** The server's requests that the client has not answered, by id. */
  readonly #asked = new Map<string, Asked>()

  constructor(core: Core) {
    this.core = core
    this.#observe = legObserver(
      core,
      () => this.session,
      () => this.stream
    )
    this.serverBrake = new Brake(
      () => this.leg.pause?.(),
      () => this.leg.resume?.()
    )
    // This client owns the leg: what the server says behind a message that a hook holds need not be read yet.
    this.order = new InOrder(
      error => this.fault(error),
      held => this.serverBrake.set('hook', held)
    )
  }

  abstract readonly leg: Leg
  /** Writes what stands on one line. False: the client reads slowly; `drained` follows. */
  protected abstract transmit(line: Buffer): boolean
  /** The server does not read as fast as this client writes; and it does again. */
  protected abstract holdClient(held: boolean): void
  /** The server is gone. */
  protected abstract lost(error: CatflapError): void

  answeredAt = Number.NEGATIVE_INFINITY

  /** The server's requests that wait for the client. */
  get awaiting(): number {
    this.#forgetAsked()
    return this.#asked.size
  }

  /** What is written towards the client goes through here, whoever said it. */
  write(message: Message): boolean {
    return this.writeLine(message.oneLine())
  }

  writeBatch(messages: readonly Message[]): void {
    const parts = messages.flatMap((m, i) => (i === 0 ? [m.oneLine()] : [Buffer.from(','), m.oneLine()]))
    this.writeLine(Buffer.concat([Buffer.from('['), ...parts, Buffer.from(']')]))
  }

  refuse(request: Message, error: CatflapError): void {
    this.answered(request.idText)
    const message = refusal(request, error)
    if (this.core.bus.active) this.core.tap.loose(this.session, this.stream, 'server', 'up', message, true)
    send(this.leg, message)
  }

  protected writeLine(line: Buffer): boolean {
    const free = this.transmit(line)
    // This client owns the leg, so its slowness may reach the server.
    if (!free) this.serverBrake.hold('reader')
    holdBack(this.core, this.serverBrake)
    return free
  }

  protected drained(): void {
    this.serverBrake.release('reader')
  }

  protected fault(error: unknown): void {
    this.core.log.error('internal', `a message could not be handled: ${error}`)
  }

  /** The client is gone: there is nobody to be told anything. */
  protected get left(): boolean {
    return false
  }

  protected legEvents(): LegEvents {
    const observe = this.#observe
    return {
      ...observe,
      message: (message, call) => {
        this.#noteAsked(message, call)
        // What belongs to a call passes with it, so that it keeps its place before the answer and counts as progress.
        if (!call?.deliver?.(message)) this.#fromServer(message)
      },
      lost: (error, facts) => {
        observe.lost(error, facts)
        this.lost(error)
      },
      full: () => this.holdClient(true),
      drain: () => this.holdClient(false)
    }
  }

  /** The client has answered a request of the server's, or the server took it back. */
  protected answered(idText: string | undefined): void {
    if (idText === undefined || this.#asked.size === 0) return
    const key = idKey(idText)
    const rounded = (): string | undefined => [...this.#asked.keys()].find(asked => roundedKey(asked) === key)
    if (this.#asked.delete(key) || this.#asked.delete(rounded() ?? key)) this.answeredAt = performance.now()
  }

  #noteAsked(message: Message, call: CallReceiver | undefined): void {
    if (message.method === 'notifications/cancelled') return this.answered(message.requestIdText)
    if (message.kind !== 'request') return
    const max = this.core.settings.maxServerRequests
    if (this.#asked.size >= max) this.#forgetAsked()
    if (this.#asked.size >= max) return
    const during = call instanceof Call ? call : undefined
    this.#asked.set(idKey(message.idText!), { during, at: performance.now() })
  }

  /** A request that is never answered must not excuse every later call from its deadline. */
  #forgetAsked(): void {
    for (const [key, asked] of this.#asked) if (this.#isOver(asked)) this.#asked.delete(key)
  }

  #isOver({ during, at }: Asked): boolean {
    if (during) return during.done
    if (performance.now() - at < this.core.settings.requestTimeout) return false
    // On one stream for all it may belong to any call that was under way.
    return this.core.target.kind === 'http' || !this.#calledBefore(at)
  }

  /** A call that this client made before then is still under way. */
  #calledBefore(time: number): boolean {
    for (const x of this.core.inFlight) {
      if (x.startedAt > time) return false
      if (x.connection === this && !x.longLived && (x.kind === 'request' || x.kind === 'batch')) return true
    }
    return false
  }

  #fromServer(message: Message): void {
    const { pipeline } = this.core
    if (!pipeline.hasMessage) return this.order.run(() => this.#say(message))
    const failed = (error: unknown): never => {
      this.#keptBack(message)
      throw error
    }
    this.order.run(() => {
      try {
        const after = pipeline.message(this.session ?? this, message, 'down')
        if (!(after instanceof Promise)) return this.#sayHooked(message, after)
        return after.then(m => this.#sayHooked(message, m), failed)
      } catch (error) {
        failed(error)
      }
    })
  }

  #sayHooked(before: Message, after: Message | undefined): void {
    if (after !== before && this.core.bus.active)
      this.core.tap.loose(this.session, this.stream, 'server', 'down', before)
    if (after) this.#say(after)
    else this.#keptBack(before)
  }

  #keptBack(message: Message): void {
    if (message.kind === 'request')
      this.refuse(message, new CatflapError('blocked', 'An interceptor kept the request from the client.'))
  }

  #say(message: Message): void {
    if (this.left) return this.#observe.late(message)
    if (this.core.bus.active) this.core.tap.loose(this.session, this.stream, 'client', 'down', message)
    this.write(message)
  }
}
