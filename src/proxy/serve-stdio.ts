import type { Writable } from 'node:stream'
import { asCatflapError, CatflapError } from '../errors.ts'
import { inTime } from '../in-time.ts'
import { MalformedMessage, Message } from '../protocol/message.ts'
import type { SessionEnd } from '../session/session.ts'
import { Brake } from '../transport/brake.ts'
import { StdioPeer, type StdioPeerOptions } from '../transport/downstream/stdio.ts'
import type { Leg } from '../transport/upstream.ts'
import type { Core } from './core.ts'
import { Exchange } from './exchange.ts'
import { InOrder } from './in-order.ts'
import { PipeConnection } from './pipe-connection.ts'
import { PipeReply } from './pipe-reply.ts'
import { classify, malformed } from './serve-http.ts'

/** How the conversation ended: the client closed its end, or the server was lost first. */
export type StdioEnd = { readonly why: 'client' } | { readonly why: 'server'; readonly error: CatflapError }

/** One client on stdin and stdout. Lines are handed over in the order they came. */
export class StdioConnection extends PipeConnection {
  readonly stream = 'stdio'
  readonly leg: Leg
  /** Resolves when the conversation is over; never rejects. */
  readonly ended: Promise<StdioEnd>
  readonly #peer: StdioPeer
  #resolve!: (end: StdioEnd) => void
  readonly #input: InOrder
  readonly #clientBrake: Brake
  #waiting = 0
  readonly #output: Writable
  /** Why the client should say no more: the server does not read, or the client itself does not. */
  #serverFull = false
  #unread = false
  #inputEnded = false
  /** Why its session ends, as far as anything but catflap's own end is the reason. */
  #why: SessionEnd = 'shutdown'

  constructor(core: Core, options: StdioPeerOptions) {
    super(core)
    this.#output = options.output
    this.#clientBrake = new Brake(
      () => this.#peer.pause(),
      () => this.#peer.resume()
    )
    this.#input = new InOrder(error => this.fault(error))
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
      drain: () => this.drained()
    })
    this.leg = core.target.open(this.legEvents())
  }

  start(): void {
    this.#peer.start()
  }

  get bytesRead(): number {
    return this.#peer.bytesRead
  }

  get bytesWritten(): number {
    return this.#peer.bytesWritten
  }

  async close(): Promise<void> {
    await this.#peer.flush()
    this.#peer.stop()
    if (this.session) await this.core.sessions.end(this.session, this.#why)
    await this.leg.close()
  }

  protected transmit(line: Buffer): boolean {
    const free = this.#peer.write(line)
    // Whoever does not read the answers gets no more of them.
    if (!this.#unread && this.#output.writableLength > this.core.settings.maxExchangeQueue) this.#hold({ unread: true })
    return free
  }

  protected holdClient(held: boolean): void {
    this.#hold({ serverFull: held })
  }

  protected override drained(): void {
    super.drained()
    if (this.#unread) this.#hold({ unread: false })
  }

  #hold({ serverFull = this.#serverFull, unread = this.#unread }: { serverFull?: boolean; unread?: boolean }): void {
    this.#serverFull = serverFull
    this.#unread = unread
    this.#clientBrake.set('reader', serverFull || unread)
  }

  protected lost(error: CatflapError): void {
    this.#why = 'lost'
    this.#resolve({ why: 'server', error })
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
    const x = new Exchange(this.core, new PipeReply(this, parsed), this)
    x.version = x.session?.record.protocolVersion
    classify(x, parsed, undefined)
    for (const m of x.batch ?? [x.message]) if (m?.kind === 'response') this.answered(m.idText)
    if (this.core.bus.active) x.received = { bytes: line }
    return x.run()
  }

  /** What cannot be read has no id to answer to. */
  #refuse(error: CatflapError, line: Buffer | undefined): void {
    const answer = Message.parse(error.toJsonRpc())
    this.core.meter?.refused(error.code)
    if (this.core.bus.active) {
      this.core.tap.note(this.session, 'refused', error.message, { code: error.code }, 'client')
      if (line)
        this.core.tap.note(this.session, 'noise', line.subarray(0, 64 * 1024).toString('utf8'), undefined, 'client')
      this.core.tap.loose(this.session, this.stream, 'client', 'down', answer, true)
    }
    this.write(answer)
  }

  #inputEnd(): void {
    if (this.#inputEnded) return
    this.#inputEnded = true
    this.#why = 'client'
    const finish = async (): Promise<void> => {
      const { drainTimeout } = this.core.settings
      const began = performance.now()
      // What a hook or a full tape holds may be held for ever.
      const { settled } = this.#input
      if (settled) await inTime(settled, drainTimeout, () => new CatflapError('shutting_down')).catch(() => {})
      // `echo … | catflap` closes at once and still wants its answers; so does a client that only says goodbye politely.
      await this.core.drained(Math.max(0, drainTimeout - (performance.now() - began)))
      this.leg.endInput?.()
      this.#resolve({ why: 'client' })
    }
    void finish()
  }
}

/** Lines that may wait behind a hook. */
const MAX_WAITING = 256
