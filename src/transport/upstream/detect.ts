import { CatflapError } from '../../errors.ts'
import { METHOD_NOT_FOUND, MODERN_ERRORS } from '../../protocol/error-codes.ts'
import { versionsIn } from '../../protocol/named-versions.ts'
import type { CallInput, CallReceiver, CancelReason, Leg, ReplyHead, RetryReason, UpstreamCall } from '../upstream.ts'
import { errorCodeOf, errorIn } from './http-client-refusal.ts'
import { isSuccess } from './reply-reader.ts'
import { unpacked } from './unpacked.ts'

/** How an `initialize` was refused. */
export interface Refusal {
  readonly status: number
  /** Undefined where it is too large, or cannot be unpacked. */
  readonly body: Buffer | undefined
}

/** What finds out what a refusal of `initialize` means. Both end early, with any value, when the signal says so. */
export interface Probes {
  /** Does a GET to the same URL open a stream that names an endpoint first? */
  getEndpoint(signal: AbortSignal, refused: Refusal): Promise<boolean>
  /** The revisions that `server/discover` names, within a few seconds; undefined where it names none. */
  discover(signal: AbortSignal): Promise<readonly string[] | undefined>
  /** The target speaks HTTP+SSE. */
  found(): void
  /** It speaks Streamable HTTP: it has answered the `initialize`. */
  accepted?(): void
}

/** Statuses by which a server on HTTP+SSE may refuse a POST to its stream (spec 2025-11-25 basic/transports). */
const SUSPICIOUS = new Set([400, 404, 405])
/** Bytes of an answer that are held while it is not clear whether it counts. */
const MAX_HELD = 64 * 1024

/** An error that only servers of the modern era give (spec 2026-07-28 basic/transports/streamable-http, "Backward Compatibility"). */
export function isModernError(body: Buffer, status: number): boolean {
  const error = errorIn(body)
  const code = error && errorCodeOf(error)
  if (code === METHOD_NOT_FOUND) return status === 404
  return MODERN_ERRORS.has(code)
}

/** What no server of this transport says of an `initialize`: that there is nothing of the kind. */
export function knowsNothing({ status, body }: Refusal): boolean {
  return status !== 400 && (body === undefined || errorIn(body) === undefined)
}

/** Makes the call; an `initialize` that is refused as another transport or era would refuse it is looked into first. */
export function probing(leg: Leg, input: CallInput, receiver: CallReceiver, probes: Probes): UpstreamCall {
  if (input.era !== 'legacy' || input.message?.method !== 'initialize') return leg.call(input, receiver)
  return new TransportProbe(leg, input, receiver, probes)
}

/** Holds a refusal of `initialize` until it is clear what it means, and lets everything else pass. */
class TransportProbe implements CallReceiver, UpstreamCall {
  readonly #input: CallInput
  readonly #probes: Probes
  readonly #call: UpstreamCall
  readonly #abort = new AbortController()
  #receiver: CallReceiver | undefined
  /** Held, with what came behind it. */
  #head: ReplyHead | undefined
  #held: Buffer[] = []
  #size = 0
  /** The rest of the held answer waits at the server. */
  #stopped = false
  #deciding = false
  #paused = false
  #end: 'open' | 'ended' | CatflapError = 'open'

  constructor(leg: Leg, input: CallInput, receiver: CallReceiver, probes: Probes) {
    this.#input = input
    this.#receiver = receiver
    this.#probes = probes
    this.#call = leg.call(input, this)
  }

  onHead(head: ReplyHead): void {
    if (!SUSPICIOUS.has(head.status)) {
      if (isSuccess(head) && (head.type === 'json' || head.type === 'sse')) this.#probes.accepted?.()
      return this.#receiver?.onHead(head)
    }
    this.#head = head
    // What is held does not reach the one who cannot take more.
    if (this.#paused) this.#call.resume()
  }

  onData(chunk: Buffer): void {
    if (!this.#head) return this.#receiver?.onData(chunk)
    this.#held.push(chunk)
    this.#size += chunk.length
    if (this.#size <= MAX_HELD) return
    this.#stopped = true
    this.#call.pause()
    this.#decide()
  }

  onMessage(): void {}

  onEnd(): void {
    this.#end = 'ended'
    if (!this.#head) this.#receiver?.onEnd()
    else this.#decide()
  }

  onError(error: CatflapError): void {
    this.#end = error
    if (!this.#head) this.#receiver?.onError(error)
    else this.#decide()
  }

  onUnsent(reason: RetryReason, error: CatflapError): boolean {
    return this.#receiver?.onUnsent?.(reason, error) ?? false
  }

  get attempts(): number {
    return this.#receiver?.attempts ?? 0
  }

  onAgain(reason: RetryReason, error: CatflapError | undefined): void {
    this.#receiver?.onAgain?.(reason, error)
  }

  pause(): void {
    this.#paused = true
    if (!this.#head) this.#call.pause()
  }

  resume(): void {
    this.#paused = false
    if (!this.#stopped) this.#call.resume()
  }

  cancel(reason: CancelReason): void {
    this.#receiver = undefined
    this.#abort.abort()
    this.#call.cancel(reason)
  }

  #decide(): void {
    if (this.#deciding) return
    this.#deciding = true
    // A probe that fails has found nothing.
    this.#find().catch(() => this.#release())
  }

  async #find(): Promise<void> {
    const { signal } = this.#abort
    const { status, encoding } = this.#head!
    const whole = this.#size <= MAX_HELD
    const body = whole ? await unpacked(Buffer.concat(this.#held), encoding, MAX_HELD) : undefined
    if (signal.aborted) return
    if (!body || !isModernError(body, status)) {
      if (await this.#probes.getEndpoint(signal, { status, body })) this.#other()
      else this.#release()
      return
    }
    // An error that names them says all that could be said.
    const supported = versionsIn(errorIn(body)) ? undefined : await this.#probes.discover(signal)
    if (supported) this.#modernOnly(supported)
    else this.#release()
  }

  /** The refusal only meant that the transport is another. */
  #other(): void {
    const receiver = this.#receiver
    if (!receiver?.onOtherTransport) return this.#release()
    this.#drop()
    this.#probes.found()
    receiver.onOtherTransport()
  }

  #modernOnly(supported: readonly string[]): void {
    const receiver = this.#receiver
    const requested = this.#input.message?.protocolVersion
    this.#drop()
    const asked = requested === undefined ? 'the revision that initialize asks for' : requested
    const text = `The server does not speak ${asked}, but ${supported.join(', ')}, which begin without initialize. Use a client that speaks one of them.`
    receiver?.onError(new CatflapError('unsupported_modern_version', text, { data: { supported, requested } }))
  }

  /** The held answer counts after all. */
  #release(): void {
    const [head, held, receiver] = [this.#head, this.#held, this.#receiver]
    if (!head || !receiver) return
    this.#head = undefined
    this.#held = []
    receiver.onHead(head)
    for (const chunk of held) this.#receiver?.onData(chunk)
    if (this.#end === 'ended') return this.#receiver?.onEnd()
    if (this.#end !== 'open') return this.#receiver?.onError(this.#end)
    this.#stopped = false
    if (!this.#paused) this.#call.resume()
  }

  #drop(): void {
    this.#receiver = undefined
    this.#held = []
    if (this.#end === 'open') this.#call.cancel('client-gone')
  }
}
