import { CatflapError } from '../../errors.ts'
import { METHOD_NOT_FOUND } from '../../protocol/error-codes.ts'
import { Message } from '../../protocol/message.ts'
import { FIRST_MODERN_VERSION, META_VERSION } from '../../protocol/versions.ts'
import { VERSION } from '../../version.ts'
import type { CallInput, CallReceiver, Leg } from '../upstream.ts'

/** The `_meta` of our own requests. A client's would let it decide what the answer is. */
export function ownMeta(version: string = FIRST_MODERN_VERSION): object {
  return {
    [META_VERSION]: version,
    'io.modelcontextprotocol/clientInfo': { name: 'catflap', version: VERSION },
    'io.modelcontextprotocol/clientCapabilities': {}
  }
}

/**
 * Asks a server on our own account, and resolves with its answer. Rejects with the leg's error, or `upstream_timeout` after so many ms
 * or when the signal says so.
 */
export function ask(leg: Leg, label: string, request: Message, timeout: number | AbortSignal): Promise<Message> {
  return new Promise((resolve, reject) => {
    const receiver: CallReceiver = {
      onHead() {},
      onData() {},
      onMessage(message, last) {
        if (!last) return
        over()
        resolve(message)
      },
      onEnd() {},
      onError(error) {
        over()
        reject(error)
      }
    }
    const late = (): void => {
      over()
      call.cancel('timeout')
      const within = typeof timeout === 'number' ? `within ${Math.ceil(timeout / 1000)} s` : 'in time'
      const text = `${label} did not answer ${request.method} ${within}.`
      reject(new CatflapError('upstream_timeout', text, { data: { target: label } }))
    }
    const over = whenLate(timeout, late)
    const call = leg.call(inputOf(request), receiver)
    if (typeof timeout !== 'number' && timeout.aborted) late()
  })
}

/** Returns what makes it be forgotten. */
function whenLate(timeout: number | AbortSignal, late: () => void): () => void {
  if (typeof timeout === 'number') {
    const timer = setTimeout(late, timeout)
    return () => clearTimeout(timer)
  }
  timeout.addEventListener('abort', late)
  return () => timeout.removeEventListener('abort', late)
}

/** The server of revision 2026-07-28 must not ask (basic/transports/stdio, "Receiving Messages"): it is told so, and goes on. */
export function refuseRequest(leg: Leg, request: Message, own: ((message: Message) => void) | undefined): void {
  const error = {
    code: METHOD_NOT_FOUND,
    message: `A server of this revision sends no requests: '${request.method}' is not known.`
  }
  const text = `{"jsonrpc":"2.0","id":${request.idText},"error":${JSON.stringify(error)}}`
  const message = Message.parse(Buffer.from(text))
  own?.(message)
  leg.call(inputOf(message), { onHead() {}, onData() {}, onMessage() {}, onEnd() {}, onError() {} })
}

function inputOf(message: Message): CallInput {
  const kind = message.kind === 'request' ? 'request' : 'notify'
  return { kind, era: 'modern', message, batch: undefined, body: undefined, headers: [] }
}
