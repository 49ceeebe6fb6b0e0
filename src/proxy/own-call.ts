import { CatflapError } from '../errors.ts'
import { EVENT_ID_HEADER, removeHeader, setHeader, VERSION_HEADER } from '../protocol/headers.ts'
import type { Message } from '../protocol/message.ts'
import { tellsLoss } from '../transport/upstream/http-client-refusal.ts'
import { ReplyReader } from '../transport/upstream/reply-reader.ts'
import type { CallInput, HttpWatch, Leg, ReplyHead } from '../transport/upstream.ts'
import type { OwnContext } from './own-message.ts'

/** What a server over HTTP answered. */
export interface OwnAnswer {
  readonly head: ReplyHead
  /** The response; undefined where none was asked for. */
  readonly message: Message | undefined
}

export interface OwnCallOptions {
  /** The server's, for errors. */
  readonly label: string
  /** Whose headers it has. */
  readonly context: OwnContext
  /** The negotiated revision; undefined before there is one. */
  readonly version?: string
  readonly signal: AbortSignal
  readonly watch?: HttpWatch
  /** The one of several servers that is not to be asked. */
  readonly avoid?: string
}

/** Bytes of one answer. */
const MAX_ANSWER = 1024 * 1024

/**
 * Says something to a server over HTTP on our own account, and waits for the answer. Rejects with what went wrong: the leg's
 * error, `upstream_status` for another status than 2xx (`data.lost`: one that says that the session is unknown), `upstream_timeout` when the signal says so.
 */
export function ownCall(leg: Leg, message: Message, options: OwnCallOptions): Promise<OwnAnswer> {
  const { label, signal } = options
  const asks = message.kind === 'request'
  return new Promise((resolve, reject) => {
    let head: ReplyHead | undefined
    const over = (): void => signal.removeEventListener('abort', late)
    const fail = (
      code: 'upstream_timeout' | 'upstream_status' | 'upstream_protocol',
      text: string,
      more?: { readonly lost: boolean }
    ): void => {
      over()
      reject(new CatflapError(code, `${label} ${text}`, { data: { target: label, ...more } }))
    }
    const late = (): void => {
      reader.cancel()
      fail('upstream_timeout', `did not answer ${message.method} in time.`)
    }
    const reader = new ReplyReader(
      {
        leg,
        input: inputOf(message, options),
        label,
        maxMessage: MAX_ANSWER,
        cursor: { lastEventId: undefined, retry: undefined, events: 0 },
        done() {}
      },
      {
        head: h => {
          head = h
        },
        noise() {},
        message(m) {
          if (!asks || m.kind !== 'response' || !head) return
          over()
          // What may follow on a stream is for nobody.
          reader.cancel()
          resolve({ head, message: m })
        },
        otherTransport: () => fail('upstream_protocol', 'speaks another transport by now.'),
        end(end) {
          over()
          if (end.how === 'failed') reject(end.error)
          else if (end.how === 'refused')
            fail('upstream_status', `answered ${message.method} with ${end.head.status}.`, {
              lost: tellsLoss(end.head, end.body, [message])
            })
          else if (asks || !head) fail('upstream_protocol', `did not answer ${message.method}.`)
          else resolve({ head, message: undefined })
        }
      }
    )
    signal.addEventListener('abort', late)
    if (signal.aborted) late()
    else reader.start()
  })
}

function inputOf(message: Message, { context, version, watch, avoid }: OwnCallOptions): CallInput {
  const headers = [...context.headers]
  removeHeader(headers, EVENT_ID_HEADER)
  removeHeader(headers, VERSION_HEADER)
  if (version !== undefined) headers.push('MCP-Protocol-Version', version)
  setHeader(headers, 'Content-Type', 'application/json')
  setHeader(headers, 'Accept', 'application/json, text/event-stream')
  const kind = message.kind === 'request' ? 'request' : 'notify'
  const { query } = context
  return { kind, era: 'legacy', message, batch: undefined, body: message.bytes, query, headers, watch, avoid }
}
