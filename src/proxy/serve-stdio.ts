import { asCatflapError, CatflapError } from '../errors.ts'
import { inTime } from '../in-time.ts'
import { idKey, roundedKey } from '../protocol/id.ts'
import { MalformedMessage, Message } from '../protocol/message.ts'
import type { Session } from '../session/manager.ts'
import { Brake } from '../transport/brake.ts'
import { StdioPeer, type StdioPeerOptions } from '../transport/downstream/stdio.ts'
import type { Reply, ReplyListener, WholeAnswer } from '../transport/reply.ts'
import type { Leg, LegEvents } from '../transport/upstream.ts'
import type { Core } from './core.ts'
import { type Connection, Exchange } from './exchange.ts'
import { InOrder } from './in-order.ts'
import { refusal } from './own-message.ts'
import { classify, malformed } from './serve-http.ts'
import { holdBack, legObserver, send } from './session-leg.ts'

/** How the conversation ended: the client closed its end, or the server was lost first. */
export type StdioEnd = { readonly why: 'client' } | { readonly why: 'server'; readonly error: CatflapError }

/**
 * One client on stdin and stdout, one leg for it alone. Lines are handed over in the order they came, and what the server
 * says is written in the order it was said.
 */
export class StdioConnection implements Connection {
  readonly leg: Leg
  session: Session | undefined
  /** Resolves when the conversation is over; never rejects. */
  readonly ended: Promise<StdioEnd>
  readonly #core: Core
  readonly #peer: StdioPeer
  #resolve!: (end: StdioEnd) => void
  readonly order: InOrder
  readonly #input: InOrder
  /** Holds the client, and the server. */
  readonly #clientBrake: Brake
  readonly #serverBrake: Brake
  #waiting = 0
  #inputEnded = false
  /** The server's requests that the client has not answered, by id. */
  readonly #asked = new Set<string>()

  constructor(core: Core, options: StdioPeerOptions) {
    this.#core = core
    const fault = (error: unknown): void => core.log.error('internal', `a message could not be handled: ${error}`)
    this.#clientBrake = new Brake(
      () => this.#peer.pause(),
      () => this.#peer.resume()
    )
    this.#serverBrake = new Brake(
      () => this.leg.pause?.(),
      () => this.leg.resume?.()
    )
    // This client owns the child: what it says behind a message that a hook holds need not be read yet.
    this.order = new InOrder(fault, held => this.#serverBrake.set('hook', held))
    this.#input = new InOrder(fault)
    this.ended = new Promise(resolve => {
      this.#resolve = resolve
    })
    this.#peer = new StdioPeer(options, {
      line: line => this.#line(line),
      oversize: length => {
        const text = `The line has ${length} bytes; --max-body allows ${options.maxLine}.`
        this.#refuse(new CatflapError('body_too_large', text), undefined)
      },
      end: () => this.#inputEnd(),
      // Nobody is there to be answered: what still runs keeps nothing waiting.
      broken: () => core.cancelAll('client-gone'),
      drain: () => this.#serverBrake.release('reader')
    })
    this.leg = core.target.open(this.#legEvents())
  }

  start(): void {
    this.#peer.start()
  }

  /** The server's requests that wait for the client. */
  get awaiting(): number {
    return this.#asked.size
  }

  /** What is written towards the client goes through here, whoever said it. */
  write(message: Message): boolean {
    return this.#write(message.oneLine())
  }

  writeBatch(messages: readonly Message[]): void {
    const parts = messages.flatMap((m, i) => (i === 0 ? [m.oneLine()] : [Buffer.from(','), m.oneLine()]))
    this.#write(Buffer.concat([Buffer.from('['), ...parts, Buffer.from(']')]))
  }

  refuse(request: Message, error: CatflapError): void {
    this.#answered(request.idText)
    const message = refusal(request, error)
    if (this.#core.bus.active) this.#core.tap.loose(this.session, 'stdio', 'server', 'up', message, true)
    send(this.leg, message)
  }

  #write(line: Buffer): boolean {
    const free = this.#peer.write(line)
    // This client owns the child, so its slowness may reach it.
    if (!free) this.#serverBrake.hold('reader')
    holdBack(this.#core, this.#serverBrake)
    return free
  }

  async close(): Promise<void> {
    await this.#peer.flush()
    this.#peer.stop()
    if (this.session) await this.#core.sessions.end(this.session, 'shutdown')
    await this.leg.close()
  }

  #line(line: Buffer): void {
    if (!this.#input.held) return this.#input.run(() => this.#accept(line))
    // A hook holds an earlier line; later ones wait behind it, and the client waits when they get many.
    this.#waiting++
    if (this.#waiting === MAX_WAITING) this.#clientBrake.hold('hook')
    this.#input.run(() => {
      if (this.#waiting-- === MAX_WAITING) this.#clientBrake.release('hook')
      return this.#accept(line)
    })
  }

  #accept(line: Buffer): void | Promise<void> {
    let parsed: Message | readonly Message[]
    try {
      parsed = Message.parseBody(line)
    } catch (error) {
      return this.#refuse(error instanceof MalformedMessage ? malformed(error) : asCatflapError(error), line)
    }
    const x = new Exchange(this.#core, new StdioReply(this, parsed), this)
    x.version = x.session?.record.protocolVersion
    classify(x, parsed, undefined)
    for (const m of x.batch ?? [x.message]) if (m?.kind === 'response') this.#answered(m.idText)
    if (this.#core.bus.active) x.received = { bytes: line }
    return x.run()
  }

  /** What cannot be read has no id to answer to. */
  #refuse(error: CatflapError, line: Buffer | undefined): void {
    const answer = Message.parse(error.toJsonRpc())
    if (this.#core.bus.active) {
      this.#core.tap.note(this.session, 'refused', error.message, { code: error.code }, 'client')
      if (line)
        this.#core.tap.note(this.session, 'noise', line.subarray(0, 64 * 1024).toString('utf8'), undefined, 'client')
      this.#core.tap.loose(this.session, 'stdio', 'client', 'down', answer, true)
    }
    this.write(answer)
  }

  #inputEnd(): void {
    if (this.#inputEnded) return
    this.#inputEnded = true
    const finish = async (): Promise<void> => {
      const { drainTimeout } = this.#core.settings
      const began = performance.now()
      // What a hook or a full tape holds may be held for ever.
      const { settled } = this.#input
      if (settled) await inTime(settled, drainTimeout, () => new CatflapError('shutting_down')).catch(() => {})
      // `echo … | catflap` closes at once and still wants its answers; so does a client that only says goodbye politely.
      await this.#core.drained(Math.max(0, drainTimeout - (performance.now() - began)))
      this.leg.endInput?.()
      this.#resolve({ why: 'client' })
    }
    void finish()
  }

  #legEvents(): LegEvents {
    const observe = legObserver(this.#core, () => this.session, 'stdio')
    return {
      ...observe,
      message: (message, call) => {
        this.#noteAsked(message)
        // What belongs to a call passes with it, so that it keeps its place before the answer and counts as progress.
        if (!call?.deliver?.(message)) this.#fromServer(message)
      },
      lost: (error, facts) => {
        observe.lost(error, facts)
        this.#resolve({ why: 'server', error })
      },
      full: () => this.#clientBrake.hold('reader'),
      drain: () => this.#clientBrake.release('reader')
    }
  }

  #noteAsked(message: Message): void {
    if (message.kind === 'request' && this.#asked.size < this.#core.settings.maxServerRequests)
      this.#asked.add(idKey(message.idText!))
    else if (message.method === 'notifications/cancelled') this.#answered(message.requestIdText)
  }

  #answered(idText: string | undefined): void {
    if (idText === undefined || this.#asked.size === 0) return
    const key = idKey(idText)
    if (this.#asked.delete(key)) return
    for (const asked of this.#asked) if (roundedKey(asked) === key) this.#asked.delete(asked)
  }

  #fromServer(message: Message): void {
    const { pipeline } = this.#core
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
    if (after !== before && this.#core.bus.active) this.#core.tap.loose(this.session, 'stdio', 'server', 'down', before)
    if (after) this.#say(after)
    else this.#keptBack(before)
  }

  #keptBack(message: Message): void {
    if (message.kind === 'request')
      this.refuse(message, new CatflapError('blocked', 'An interceptor kept the request from the client.'))
  }

  #say(message: Message): void {
    if (this.#core.bus.active) this.#core.tap.loose(this.session, 'stdio', 'client', 'down', message)
    this.write(message)
  }
}

/** Lines that may wait behind a hook. */
const MAX_WAITING = 256

/** An answer on a pipe: there is no head, and silence is an answer to notifications. */
class StdioReply implements Reply {
  state: Reply['state'] = 'pending'
  extra: string[] = []
  listener: ReplyListener | undefined
  readonly queued = 0
  readonly #connection: StdioConnection
  readonly #idText: string | undefined
  /** A batch gets one reply (spec 2025-03-26 basic/transports): its answers are gathered. */
  readonly #gather: Message[] | undefined

  constructor(connection: StdioConnection, asked: Message | readonly Message[]) {
    this.#connection = connection
    this.#idText = asked instanceof Message && asked.kind === 'request' ? asked.idText : undefined
    this.#gather = asked instanceof Message ? undefined : []
  }

  head(): void {}

  data(): boolean {
    return true
  }

  message(message: Message, last: boolean): boolean {
    if (this.state === 'ended') return true
    if (this.#gather && message.kind === 'response') {
      this.#gather.push(message)
      return true
    }
    if (last) this.state = 'ended'
    return this.#connection.write(message)
  }

  end(): void {
    if (this.state === 'ended') return
    this.state = 'ended'
    if (this.#gather && this.#gather.length > 0) this.#connection.writeBatch(this.#gather)
  }

  fail(error: CatflapError, idText: string | undefined): void {
    if (this.state === 'ended') return
    this.state = 'ended'
    const id = idText ?? this.#idText
    // A notification gets no answer, not even an error; a client that cancelled wants none any more.
    const told = error.code !== 'cancelled' && (id !== undefined || this.#gather !== undefined)
    const answer = told ? [Message.parse(error.toJsonRpc(id))] : []
    if (this.#gather && this.#gather.length > 0) this.#connection.writeBatch([...this.#gather, ...answer])
    else if (answer[0]) this.#connection.write(answer[0])
  }

  answer(answer: WholeAnswer): void {
    if (this.state === 'ended') return
    this.state = 'ended'
    if (this.#idText === undefined) return
    this.#connection.write(
      Message.parse(new CatflapError('blocked', `Answered with HTTP status ${answer.status}.`).toJsonRpc(this.#idText))
    )
  }
}
