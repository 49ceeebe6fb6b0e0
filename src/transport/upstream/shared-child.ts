import { CatflapError } from '../../errors.ts'
import type { Message } from '../../protocol/message.ts'
import { type Era, FIRST_MODERN_VERSION } from '../../protocol/versions.ts'
import type { CallReceiver, Leg, LegEvents } from '../upstream.ts'
import type { ChildRoom } from './child-room.ts'
import { failed } from './no-call.ts'
import { refuseRequest } from './shared-child-ask.ts'
import { FairInput } from './shared-child-input.ts'
import { ExclusiveChildren, type ExclusiveEvents } from './shared-child-pool.ts'
import { probe, type Verdict } from './shared-child-probe.ts'
import { RestartDelay } from './shared-child-restart.ts'
import { ToolLists } from './shared-child-tools.ts'
import type { SharedServer } from './shared-server.ts'
import type { Starts } from './starts.ts'

export interface SharedChildOptions {
  /** For people. */
  readonly label: string
  /** Starts a child. */
  readonly open: (events: LegEvents) => Leg
  /** What the server is; `auto` (default) asks it. */
  readonly era?: 'auto' | Era
  /** How long the server may take to say so, in ms. Default 10 s. */
  readonly probeTimeout?: number
  /** Bytes of one client that may wait while the child does not read. */
  readonly maxQueue: number
  /** How long the server may take to list its tools, in ms. Default 10 s. */
  readonly listTimeout?: number
  /** Children for requests that ask for logs, at once. Default 16. */
  readonly maxExclusive?: number
  /** How long one may wait for such a request, in ms. Default 60 s. */
  readonly exclusiveIdle?: number
  /** After a child that ended soon after its start the next one waits, in ms; twice as long each time, up to 1 s. Default 100. */
  readonly restartDelay?: number
  /** How the starts of this command have gone, whoever they were for. */
  readonly starts?: Starts
  /** Takes room for one more child; rejects where there is none. Without it there always is. */
  readonly room?: Pick<ChildRoom, 'left' | 'take' | 'taken' | 'onRoom' | 'elsewhere'>
  /** Ends a child of the command that is not ours and not in use; false: there is none. */
  readonly makeRoom?: () => boolean
  /** The shared child is ended when nobody has used it for so long, in ms. Default 0: never. */
  readonly idle?: number
}

/** What is told of the children besides what belongs to a call. */
export type SharedChildEvents = ExclusiveEvents

const DEFAULTS = { probeTimeout: 10_000, maxExclusive: 16, exclusiveIdle: 60_000, restartDelay: 100, idle: 0 }
/** Ended soon so often in a row: perhaps it is another server by now, and it is asked again. */
const DOUBTFUL = 3
/** A server that said nothing when it was asked is asked again after this, then after twice as long …, in ms. */
const ASK_AGAIN = 30_000
const MAX_ASK_AGAIN = 3_600_000

interface Running {
  readonly leg: Leg
  readonly input: FairInput
  readonly startedAt: number
}

/**
 * A command as one server for many modern clients, who share a child: nothing in that era binds a request to a connection.
 * Ids are told apart by the leg beneath. What the child says belongs to the call that its progress token or subscription id
 * names; what names none belongs to nobody.
 */
export class SharedChild implements SharedServer {
  readonly label: string
  readonly tools: ToolLists
  /** Children that were started in the place of a lost one. */
  restarts = 0
  #missing = false
  readonly #options: SharedChildOptions & typeof DEFAULTS
  readonly #events: SharedChildEvents
  readonly #exclusive: ExclusiveChildren
  /** One for all children: they are of one command. */
  readonly #restart: RestartDelay
  readonly #ending = new Set<Promise<void>>()
  #known: Verdict | undefined
  /** When a vague verdict ends. */
  #askAgainAt = 0
  #askAgainIn = ASK_AGAIN
  #running: Running | undefined
  #probed: Running | undefined
  #starting: Promise<Verdict> | undefined
  #wake: (() => void) | undefined
  #usedAt = 0
  #idleTimer: NodeJS.Timeout | undefined
  #closed = false

  constructor(options: SharedChildOptions, events: SharedChildEvents) {
    this.label = options.label
    this.#options = { ...DEFAULTS, ...options }
    this.#events = events
    if (options.era === 'modern') this.#known = { era: 'modern', versions: undefined }
    if (options.era === 'legacy')
      this.#known = { era: 'legacy', error: undefined, reason: `${options.label} is said to be legacy.`, vague: false }
    const { label, open, makeRoom } = options
    const { maxExclusive: max, exclusiveIdle: idle } = this.#options
    this.tools = new ToolLists({ label, timeout: options.listTimeout, own: events.own })
    this.#restart = new RestartDelay(this.#options.restartDelay, options.starts)
    const room = options.room && (() => options.room!.left)
    this.#exclusive = new ExclusiveChildren(
      { label, open, max, idle, restart: this.#restart, room, makeRoom },
      this.#told()
    )
    if (options.room) {
      options.room.onRoom = () => this.#exclusive.roomFreed()
      options.room.elsewhere = () => this.#exclusive.waiting
    }
  }

  /**
   * What the server is; where it is modern, its child runs afterwards. A promise only where something has to be started.
   * Rejects with `child_start_failed`, with `command_parked` or `too_many_children` where none may be started, and with
   * `shutting_down` after `close`.
   */
  ready(): Verdict | Promise<Verdict> {
    const known = this.#known
    // Who asks is about to use it.
    this.#usedAt = performance.now()
    if (!this.#closed && known && (known.era === 'modern' ? this.#running : this.#believed(known))) return known
    this.#starting ??= this.#start().finally(() => {
      this.#starting = undefined
    })
    return this.#starting
  }

  /** The shared child, for one client. Only after `ready`. */
  leg(client: string): Leg {
    return asLeg((input, receiver) => {
      const running = this.#running
      this.#usedAt = performance.now()
      if (running) return running.input.call(client, input, receiver)
      const text = `${this.label} ended before it was asked. Try again.`
      return failed(receiver, new CatflapError('child_exited', text, { data: { target: this.label } }))
    })
  }

  /** A child for one call alone, with whatever comes meanwhile. Only after `ready`. */
  exclusive(): Leg {
    return asLeg((input, receiver) => this.#exclusive.call(input, receiver))
  }

  /** Asks for the whole list of tools, in a revision that the server speaks. Only after `ready`. Does not reject. */
  refreshTools(): Promise<void> {
    const versions = this.#known?.era === 'modern' ? this.#known.versions : undefined
    const ours = versions === undefined || versions.includes(FIRST_MODERN_VERSION)
    return this.tools.refresh(this.leg('catflap'), ours ? undefined : versions[0])
  }

  /** All children are read no further until `resume`. */
  pause(): void {
    this.#running?.leg.pause?.()
    this.#exclusive.pause()
  }

  resume(): void {
    this.#running?.leg.resume?.()
    this.#exclusive.resume()
  }

  /** Ends a child that nobody uses. False: there is none. */
  giveUpIdle(): boolean {
    return this.#exclusive.giveUpSpare() || this.#giveUpShared()
  }

  #giveUpShared(): boolean {
    const running = this.#running
    if (running?.leg.inFlight !== 0 || !running.input.empty) return false
    this.#running = undefined
    this.#end(running)
    return true
  }

  /** Ends all children. */
  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#idleTimer)
    this.#wake?.()
    for (const child of [this.#running, this.#probed]) if (child) this.#end(child)
    this.#running = undefined
    await Promise.all([this.#exclusive.close(), this.#starting?.catch(() => {})])
    await Promise.all(this.#ending)
  }

  #believed(known: Verdict): boolean {
    return known.era === 'modern' || !known.vague || performance.now() < this.#askAgainAt
  }

  async #start(): Promise<Verdict> {
    const { refusal } = this.#restart
    if (refusal) throw refusal
    await this.#delay()
    if (this.#closed) throw new CatflapError('shutting_down')
    const { room } = this.#options
    await room?.take()
    room?.taken()
    if (this.#closed) throw new CatflapError('shutting_down')
    const known = this.#known
    if (known?.era === 'modern') {
      this.#runs(this.#open())
      return known
    }
    const verdict = await this.#probe(this.#open())
    this.#learned(verdict)
    return verdict
  }

  async #probe(child: Running): Promise<Verdict> {
    this.#probed = child
    try {
      const verdict = await probe(child.leg, this.label, this.#options.probeTimeout, this.#events.own)
      if (this.#closed) throw new CatflapError('shutting_down')
      if (verdict.era === 'modern' && this.#probed === child) this.#runs(child)
      else this.#end(child)
      return verdict
    } catch (error) {
      this.#end(child)
      throw this.#closed ? new CatflapError('shutting_down') : error
    } finally {
      this.#probed = undefined
    }
  }

  #runs(child: Running): void {
    this.#running = child
    this.#usedAt = performance.now()
    this.#watchIdle()
  }

  #learned(verdict: Verdict): void {
    this.#known = verdict
    if (verdict.era === 'modern') {
      this.#askAgainIn = ASK_AGAIN
    } else {
      this.#askAgainAt = performance.now() + this.#askAgainIn
      this.#askAgainIn = Math.min(this.#askAgainIn * 2, MAX_ASK_AGAIN)
      this.#restart.forgive()
    }
  }

  /** Without a timer for each call: whoever has used it meanwhile puts the end off. */
  #watchIdle(): void {
    clearTimeout(this.#idleTimer)
    const { idle } = this.#options
    if (idle === 0 || this.#closed || !this.#running) return
    const left = this.#usedAt + idle - performance.now()
    if (left <= 0 && this.#giveUpShared()) return
    this.#idleTimer = setTimeout(() => this.#watchIdle(), left > 0 ? Math.ceil(left) : idle).unref()
  }

  #open(): Running {
    const events: LegEvents = {
      ...this.#told(),
      message: (message, call) => this.#message(child.leg, message, call),
      lost: (error, facts) => this.#lost(child, error, facts),
      full: () => child.input.full(),
      drain: () => child.input.drain()
    }
    const leg = this.#options.open(events)
    if (this.#missing) this.restarts++
    this.#missing = false
    const child: Running = { leg, input: new FairInput(leg, this.#options), startedAt: performance.now() }
    return child
  }

  #message(leg: Leg, message: Message, call: CallReceiver | undefined): void {
    this.#events.speaking?.()
    if (message.method === 'notifications/tools/list_changed') this.tools.changed()
    if (message.kind === 'request') return refuseRequest(leg, message, this.#events.own)
    if (!call) return this.#events.unowned(message)
    if (!call.deliver?.(message)) this.#events.late(message)
  }

  #lost(child: Running, error: CatflapError, facts: Readonly<Record<string, string | number | null>>): void {
    if (this.#running === child) this.#running = undefined
    if (this.#probed === child) this.#probed = undefined
    this.tools.changed()
    if (facts.expected !== 1) {
      this.#missing = true
      this.#restart.ended(child.startedAt)
      const asked = this.#options.era === undefined || this.#options.era === 'auto'
      if (asked && this.#restart.early >= DOUBTFUL && this.#known?.era === 'modern') this.#known = undefined
    }
    child.input.fail(error)
    this.#events.lost(error, facts)
  }

  /** A server that ends as soon as it is started is not started as fast as clients ask. */
  async #delay(): Promise<void> {
    const ms = this.#restart.left
    if (ms <= 0 || this.#closed) return
    await new Promise<void>(resolve => {
      const timer = setTimeout(resolve, ms)
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    this.#wake = undefined
  }

  #end(child: Running): void {
    const ended = child.leg.close().finally(() => this.#ending.delete(ended))
    this.#ending.add(ended)
  }

  /** What all children tell alike. */
  #told(): ExclusiveEvents {
    const events = this.#events
    return {
      unowned: message => events.unowned(message),
      late: message => events.late(message),
      noise: bytes => events.noise(bytes),
      stderr: line => events.stderr(line),
      lost: (error, facts) => events.lost(error, facts),
      changed: (client, server, dir) => events.changed?.(client, server, dir),
      own: message => events.own?.(message),
      note: text => events.note?.(text),
      speaking: () => events.speaking?.()
    }
  }
}

/** As many clients have it, none of them can end it. */
function asLeg(call: Leg['call']): Leg {
  return { upstreamId: undefined, call, close: async () => {} }
}
