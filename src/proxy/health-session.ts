import { CatflapError } from '../errors.ts'
import { Message } from '../protocol/message.ts'
import { LEGACY_VERSIONS } from '../protocol/versions.ts'
import type { CallReceiver, Leg, LegEvents } from '../transport/upstream.ts'
import { VERSION } from '../version.ts'
import type { HealthProbe } from './health-check.ts'
import type { HttpTarget } from './http-target.ts'

const VERSION_ASKED = LEGACY_VERSIONS.at(-1)!

/**
 * A session of the checker's own, in which the server is pinged; begun at the first check, and anew where it was lost. It
 * goes over whatever transport the server speaks, like that of any client on a pipe.
 */
export class SessionProbe implements HealthProbe {
  readonly #target: HttpTarget
  #leg: Leg | undefined
  #ids = 0

  /** The target is closed with the probe. */
  constructor(target: HttpTarget) {
    this.#target = target
  }

  async ask(signal: AbortSignal): Promise<string | undefined> {
    if (this.#leg && (await this.#ping(this.#leg, signal))) return undefined
    // It may be the session alone that is gone: a new one tells.
    if (this.#leg && signal.aborted) return 'ping was not answered'
    this.#drop()
    const leg: Leg = this.#target.open(eventsOf(message => tell(leg, refusalOf(message))))
    this.#leg = leg
    try {
      const params = { protocolVersion: VERSION_ASKED, capabilities: {}, clientInfo: CLIENT }
      const answer = await this.#request(leg, 'initialize', params, signal)
      if (answer.isError) throw new CatflapError('upstream_protocol', 'initialize was answered with an error')
    } catch (error) {
      this.#drop()
      return error instanceof Error ? error.message : String(error)
    }
    tell(leg, Message.from({ jsonrpc: '2.0', method: 'notifications/initialized' }))
    return undefined
  }

  async close(): Promise<void> {
    await this.#leg?.close()
    await this.#target.close()
  }

  /** An error is an answer, too: the server is there. */
  async #ping(leg: Leg, signal: AbortSignal): Promise<boolean> {
    try {
      await this.#request(leg, 'ping', undefined, signal)
      return true
    } catch {
      return false
    }
  }

  #request(leg: Leg, method: string, params: object | undefined, signal: AbortSignal): Promise<Message> {
    return new Promise((resolve, reject) => {
      const failed = (error: CatflapError): void => {
        signal.removeEventListener('abort', late)
        reject(error)
      }
      const late = (): void => {
        call.cancel('shutdown')
        failed(new CatflapError('upstream_timeout', `${method} was not answered`))
      }
      signal.addEventListener('abort', late)
      const message = Message.from({ jsonrpc: '2.0', id: `catflap-check-${++this.#ids}`, method, params })
      const call = leg.call(inputOf('request', message), {
        ...NOBODY,
        onMessage(m) {
          if (m.kind !== 'response') return
          signal.removeEventListener('abort', late)
          resolve(m)
        },
        onEnd: () => failed(new CatflapError('upstream_protocol', `${method} was not answered`)),
        onError: failed
      })
      if (signal.aborted) late()
    })
  }

  #drop(): void {
    // It ends the session at the server where there still is one; nobody waits for that.
    void this.#leg?.close()
    this.#leg = undefined
  }
}

/** Servers may ping their clients, too, and drop those that say nothing. There is nothing else that a checker could do. */
function eventsOf(asked: (request: Message) => void): LegEvents {
  return {
    message(message) {
      if (message.kind === 'request') asked(message)
    },
    late() {},
    noise() {},
    stderr() {},
    lost() {}
  }
}

function refusalOf({ idText, method }: Message): Message {
  const what = method === 'ping' ? '"result":{}' : '"error":{"code":-32601,"message":"This client only checks."}'
  return Message.parse(Buffer.from(`{"jsonrpc":"2.0","id":${idText},${what}}`))
}

const CLIENT = { name: 'catflap-check', version: VERSION }
const NOBODY: CallReceiver = { onHead() {}, onData() {}, onMessage() {}, onEnd() {}, onError() {} }

function tell(leg: Leg, message: Message): void {
  leg.call(inputOf('notify', message), NOBODY)
}

function inputOf(kind: 'request' | 'notify', message: Message) {
  return { kind, era: 'legacy', message, batch: undefined, body: undefined, headers: [] } as const
}
