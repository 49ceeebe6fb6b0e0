import type { CatflapError } from '../errors.ts'
import type { Message } from '../protocol/message.ts'
import { BatchReceiver } from '../transport/upstream/batch-receiver.ts'
import { ended } from '../transport/upstream/no-call.ts'
import type { CallInput, CallReceiver, ReplyHead, UpstreamCall } from '../transport/upstream.ts'
import { Play } from './play.ts'
import type { Outcome } from './recording.ts'
import type { ReplaySession } from './replay-session.ts'
import { tellBody } from './replies.ts'

export interface BatchOptions {
  /** The receiver can be told a head. */
  readonly heads: boolean
  readonly isOver: () => boolean
}

/** Each is answered on its own; a status that one of them had has no place in the answer to all. */
export function tellBatch(
  session: ReplaySession,
  { batch: messages = [] }: CallInput,
  receiver: CallReceiver,
  { heads, isOver }: BatchOptions
): UpstreamCall {
  const requests = messages.filter(m => m.kind === 'request').length
  const whole = heads ? new WholeBatch(receiver) : undefined
  const batch = new BatchReceiver(whole ?? receiver, requests, isOver)
  const calls: UpstreamCall[] = []
  for (const message of messages)
    if (message.kind === 'request') calls.push(session.request(message, batch.member(message.idText!), false))
    else if (message.kind === 'response') session.answer(message)
    else session.notification(message)
  if (requests === 0) return ended(receiver)
  whole?.gather(calls)
  return {
    pause() {},
    resume() {},
    cancel(reason) {
      whole?.apart()
      for (const call of calls) call.cancel(reason)
    }
  }
}

/** For so long what was one answer is waited for, in ms: then its parts come each when it is there. */
const MAX_WAIT = 1_000

/** Where the answers to a batch were one JSON text, they are again, in their order. */
class WholeBatch implements CallReceiver {
  readonly #receiver: CallReceiver
  readonly #order = new Map<string, number>()
  #gathered: Message[] | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(receiver: CallReceiver) {
    this.#receiver = receiver
  }

  gather(calls: readonly UpstreamCall[]): void {
    if (!calls.every(call => call instanceof Play) || !wereOne(calls)) return
    for (const { idText, recorded } of calls) this.#order.set(idText, (recorded.outcome as { order: number }).order)
    this.#gathered = []
    this.#timer = setTimeout(() => this.apart(), MAX_WAIT)
  }

  /** What is there is told, and what comes is told when it comes. */
  apart(): void {
    clearTimeout(this.#timer)
    const gathered = this.#gathered
    this.#gathered = undefined
    for (const message of gathered ?? []) this.#receiver.onMessage(message, false)
  }

  onMessage(message: Message, last: boolean): void {
    if (message.kind !== 'response') this.apart()
    if (this.#gathered) this.#gathered.push(message)
    else this.#receiver.onMessage(message, last)
  }

  deliver(message: Message): boolean {
    this.apart()
    return this.#receiver.deliver?.(message) ?? false
  }

  onEnd(): void {
    clearTimeout(this.#timer)
    const all = this.#gathered
    this.#gathered = undefined
    if (!all?.length) return this.#receiver.onEnd()
    const orderOf = ({ idText = '' }: Message): number => this.#order.get(idText) ?? 0
    const texts = all.toSorted((a, b) => orderOf(a) - orderOf(b)).map(({ bytes }) => bytes.toString())
    const headers = ['Content-Type', 'application/json']
    tellBody(this.#receiver, { status: 200, headers, type: 'json', body: Buffer.from(`[${texts.join(',')}]`) })
  }

  onError(error: CatflapError): void {
    this.apart()
    this.#receiver.onError(error)
  }

  onCancelled(): void {
    this.#receiver.onCancelled?.()
  }

  /** Members of a batch have no heads. */
  onHead(_head: ReplyHead): void {}
  onData(_chunk: Buffer): void {}
}

/** The answers to these stand in one frame. */
function wereOne(plays: readonly Play[]): boolean {
  const [first, ...others] = plays.map(({ recorded }) => frameOf(recorded.outcome))
  return plays[0]!.recorded.batch !== undefined && first !== undefined && others.every(frame => frame === first)
}

function frameOf(outcome: Outcome): string | undefined {
  return outcome.kind === 'response' ? `${outcome.place.line} ${outcome.place.file}` : undefined
}
