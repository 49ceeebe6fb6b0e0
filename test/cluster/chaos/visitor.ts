/** A client that goes on and on: one session after the other, calls of all kinds, and a note of what became of each. */
import { setTimeout as delay } from 'node:timers/promises'
import { until } from '../instance.ts'
import type { Log } from './log.ts'
import { isOfConnection, losesSession, type Outcome } from './outcome.ts'
import type { Random } from './random.ts'
import { type Asked, Session } from './session.ts'

export interface Noted {
  readonly client: number
  /** `begin`, or the name of a tool. */
  readonly what: string
  readonly outcome: Outcome
  readonly from: number
  readonly to: number
}

export interface VisitorOptions {
  readonly url: string
  readonly name: string
  readonly index: number
  readonly random: Random
  /** After so long without an answer there is none, in ms. */
  readonly patience: number
  readonly note: (noted: Noted) => void
  readonly log: Log
}

/** Of a message that belongs to no call, in ms. */
const HEARD = 10_000

export class Visitor {
  readonly #options: VisitorOptions
  readonly faults: string[] = []
  sessions = 0
  #session: Session | undefined
  #stopped = false

  constructor(options: VisitorOptions) {
    this.#options = options
  }

  stop(): void {
    this.#stopped = true
  }

  /** Until it is stopped. */
  async roam(): Promise<void> {
    const { random } = this.#options
    while (!this.#stopped) {
      const session = await this.#open()
      if (session === undefined) await delay(random.between(50, 300))
      else await this.#something(session)
      if (this.#session?.lost) await this.#leave()
      await delay(random.between(0, 100))
    }
  }

  /** Where nothing is wrong any more everything has to work; at first it may turn out that the session was lost meanwhile. */
  async calm(ms: number): Promise<void> {
    const works = await until(ms, async () => {
      const session = await this.#open()
      const good = session !== undefined && (await this.#call(session, { tool: 'work' })).outcome.kind === 'answer'
      if (this.#session?.lost) await this.#leave()
      return good
    })
    if (!works) return void this.faults.push(`client ${this.#options.index} gets no answer though all is well again`)
    const session = this.#session!
    for (const tool of ['work', 'ask'] as const) await this.#expect(session, { tool, steps: 2, ms: 20 })
    await this.#expectMessage(session)
  }

  /** In order, or just like that. */
  async leave(inOrder: boolean): Promise<void> {
    if (inOrder && this.#session !== undefined && !(await this.#session.end()))
      this.faults.push(`client ${this.#options.index} cannot end its session`)
    await this.#leave()
  }

  async #open(): Promise<Session | undefined> {
    if (this.#session !== undefined) return this.#session
    const { url, name, patience } = this.#options
    const session = new Session(url, `${name}-${++this.sessions}`, patience)
    const from = performance.now()
    const outcome = await session.begin()
    this.#note('begin', outcome, from)
    this.#session = session
    if (outcome.kind !== 'answer') await this.#leave()
    return this.#session
  }

  async #leave(): Promise<void> {
    const session = this.#session
    this.#session = undefined
    if (session === undefined) return
    this.faults.push(...session.faults)
    await session.leave()
  }

  async #something(session: Session): Promise<void> {
    const { random } = this.#options
    const what = random.weighted({ work: 45, long: 15, ask: 15, say: 10, burst: 10, cancel: 3, end: 2 })
    if (what === 'end') {
      await session.end()
      return this.#leave()
    }
    const quick = (): Asked => ({ tool: 'work', ms: random.between(0, 60) })
    const long = (): Asked => ({ tool: 'work', ms: random.between(200, 1_500), steps: 4 })
    const calls: Record<typeof what, () => Asked[]> = {
      work: () => [quick()],
      long: () => [long()],
      ask: () => [{ tool: 'ask' }],
      say: () => [{ tool: 'say' }],
      burst: () => [quick(), long(), { tool: 'ask' }, quick()],
      cancel: () => [{ ...long(), cancelAfter: random.between(0, 300) }]
    }
    await Promise.all(calls[what]().map(asked => this.#call(session, asked)))
  }

  async #call(session: Session, asked: Asked): Promise<{ readonly name: string; readonly outcome: Outcome }> {
    const from = performance.now()
    const called = await session.call(asked)
    this.#note(asked.tool, called.outcome, from, called.name)
    return called
  }

  async #expect(session: Session, asked: Asked): Promise<string> {
    const { name, outcome } = await this.#call(session, asked)
    if (outcome.kind !== 'answer')
      this.faults.push(`client ${this.#options.index}: ${asked.tool} ${name} fails though all is well: ${outcome.what}`)
    return name
  }

  async #expectMessage(session: Session): Promise<void> {
    // A stream that broke in the very end is opened again after a moment; one that never came to be is not, by the SDK.
    if (!(await until(3_000, () => session.listens))) return
    const name = await this.#expect(session, { tool: 'say' })
    if (!(await until(HEARD, () => session.heard.has(name))))
      this.faults.push(`client ${this.#options.index} has a stream, yet the message of ${name} never comes`)
  }

  #note(what: string, outcome: Outcome, from: number, name = ''): void {
    const { index, log, note } = this.#options
    note({ client: index, what, outcome, from, to: performance.now() })
    if (outcome.kind === 'answer' || outcome.kind === 'cancelled') return
    const mark = losesSession(outcome) ? ' (begins anew)' : isOfConnection(outcome) ? ' (connection)' : ''
    log.add(`client ${index} ${what} ${name}: ${outcome.what}${mark}`)
  }
}
