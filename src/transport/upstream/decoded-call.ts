import type { Transform } from 'node:stream'
import { CatflapError } from '../../errors.ts'
import { decoderFor } from '../decode.ts'
import type { CallReceiver, CancelReason, ReplyHead, UpstreamCall } from '../upstream.ts'

/** A call whose receiver has to read what comes: content that is compressed although identity was asked for is unpacked. */
export class DecodedCall implements CallReceiver, UpstreamCall {
  readonly #label: string
  readonly #call: UpstreamCall
  #receiver: CallReceiver | undefined
  #decoder: Transform | undefined
  #paused = false

  constructor(label: string, receiver: CallReceiver, begin: (receiver: CallReceiver) => UpstreamCall) {
    this.#label = label
    this.#receiver = receiver
    this.#call = begin(this)
  }

  onHead(head: ReplyHead): void {
    if (head.encoding === undefined) return this.#receiver?.onHead(head)
    const decoder = decoderFor(head.encoding)
    if (!decoder) {
      // The status may be all that the receiver wants to know.
      this.#receiver?.onHead(head)
      return this.#broken('an unknown Content-Encoding')
    }
    this.#decoder = decoder
    decoder.on('data', (chunk: Buffer) => this.#receiver?.onData(chunk))
    decoder.on('end', () => this.#receiver?.onEnd())
    decoder.on('error', () => this.#broken(`content that is not ${head.encoding}`))
    decoder.on('drain', () => this.#paused || this.#call.resume())
    if (this.#paused) decoder.pause()
    this.#receiver?.onHead({ ...head, encoding: undefined, length: undefined })
  }

  onData(chunk: Buffer): void {
    if (!this.#decoder) this.#receiver?.onData(chunk)
    else if (!this.#decoder.write(chunk)) this.#call.pause()
  }

  onMessage(): void {}

  onEnd(): void {
    if (this.#decoder) this.#decoder.end()
    else this.#receiver?.onEnd()
  }

  onError(error: CatflapError): void {
    this.#decoder?.destroy()
    this.#receiver?.onError(error)
  }

  pause(): void {
    this.#paused = true
    this.#decoder?.pause()
    this.#call.pause()
  }

  resume(): void {
    this.#paused = false
    this.#decoder?.resume()
    if (!this.#decoder?.writableNeedDrain) this.#call.resume()
  }

  cancel(reason: CancelReason): void {
    this.#receiver = undefined
    this.#decoder?.destroy()
    this.#call.cancel(reason)
  }

  #broken(what: string): void {
    const receiver = this.#receiver
    this.cancel('shutdown')
    receiver?.onError(new CatflapError('upstream_protocol', `${this.#label} sent ${what}.`))
  }
}
