/** An `HttpClientLeg` with a test in the client's place: messages in, and everything it says as lines. */
import type { Test } from 'tap'
import { Message } from '../../src/protocol/message.ts'
import { HttpUpstream } from '../../src/transport/upstream/http.ts'
import { HttpClientLeg, type HttpClientOptions } from '../../src/transport/upstream/http-client.ts'
import type { CallInput, CallReceiver, UpstreamCall } from '../../src/transport/upstream.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { initialize, LEGACY_VERSION, modern, notification, type Rpc, rpc } from '../helpers/rpc.ts'
import { Inbox } from '../helpers/wait.ts'

export interface Heard {
  readonly handle: UpstreamCall
  /** `message …`, `last …`, `own …` (with this call, not its answer), `end`, `error <code> <text>`, `cancelled`, in order. */
  readonly heard: Inbox<string>
}

export interface ClientDoor {
  readonly leg: HttpClientLeg
  /** `message …`, `late …`, `noise …`, `note …`, `own …`, `lost …`, `changed …`, `full`, `drain`. */
  readonly log: Inbox<string>
  readonly upstream: HttpUpstream
  say(message: Rpc | string | object, headers?: readonly string[]): Heard
  batch(messages: readonly object[]): Heard
  /** Initializes as clients do; resolves when the server has accepted that. */
  handshake(version?: string): Promise<void>
  /** The answer, as the server wrote it; fails on anything else. */
  ask(message: Rpc | string): Promise<string>
}

type Overrides = Partial<Omit<HttpClientOptions, 'upstream'>> & { headers?: readonly string[]; connections?: number }

/** Call it after the server's teardown was registered, so that the leg goes first. Not `trackLeaks`: that comes before both. */
export function openDoor(
  t: Test,
  url: string,
  { headers = [], connections = 16, ...overrides }: Overrides = {}
): ClientDoor {
  const log = new Inbox<string>('what the leg says')
  const upstream = new HttpUpstream(new URL(url), {
    headers,
    connections,
    maxPending: 64,
    connectTimeout: 5_000,
    headersTimeout: 0,
    keepAliveTimeout: 1_000,
    closeTimeout: 2_000
  })
  const owners = new Map<CallReceiver, Inbox<string>>()
  const leg = new HttpClientLeg(
    { upstream, maxMessage: 1_000_000, maxWaiting: 1_000_000, delays: { first: 10, max: 40 }, ...overrides },
    {
      message: (m, call) => (call ? owners.get(call)!.push(`own ${m.bytes}`) : log.push(`message ${m.bytes}`)),
      late: m => log.push(`late ${m.bytes}`),
      noise: bytes => log.push(`noise ${bytes}`),
      stderr: line => log.push(`stderr ${line}`),
      lost: error => log.push(`lost ${error.code} ${error.message}`),
      own: m => log.push(`own ${m.bytes}`),
      changed: (client, server, dir) => log.push(`changed ${dir} ${client.bytes} ${server.bytes}`),
      note: text => log.push(`note ${text}`),
      full: () => log.push('full'),
      drain: () => log.push('drain')
    }
  )
  t.teardown(async () => {
    await leg.close()
    await upstream.close()
  })
  const start = (what: Pick<CallInput, 'kind' | 'message' | 'batch'>, headers: readonly string[] = []): Heard => {
    const heard = new Inbox<string>('what the call hears')
    const receiver: CallReceiver = {
      onHead() {},
      onData() {},
      onMessage: (m, last) => heard.push(`${last ? 'last' : 'message'} ${m.bytes}`),
      onEnd: () => heard.push('end'),
      onError: error => heard.push(`error ${error.code} ${error.message}`),
      onCancelled: () => heard.push('cancelled')
    }
    owners.set(receiver, heard)
    const era = what.message?.metaVersion === undefined ? 'legacy' : 'modern'
    return { heard, handle: leg.call({ ...what, era, body: undefined, headers }, receiver) }
  }
  const say = (what: Rpc | string | object, headers?: readonly string[]): Heard => {
    const message = Message.parse(Buffer.from(typeof what === 'string' ? what : JSON.stringify(what)))
    return start({ kind: message.kind === 'request' ? 'request' : 'notify', message, batch: undefined }, headers)
  }
  const ask = async (what: Rpc | string): Promise<string> => {
    const line = await say(what).heard.next()
    if (!line.startsWith('last ')) throw new Error(`no answer, but: ${line}`)
    return line.slice(5)
  }
  return {
    leg,
    log,
    upstream,
    say,
    ask,
    batch: messages => start({ kind: 'batch', message: undefined, batch: messages.map(m => Message.from(m)) }),
    async handshake(version = LEGACY_VERSION) {
      await ask(initialize(0, version))
      const line = await say(notification('notifications/initialized')).heard.next()
      if (line !== 'end') throw new Error(`not accepted: ${line}`)
    }
  }
}

/** `trackLeaks`, a server that ends with the test, and a door to it. */
export async function withServer<S extends { readonly url: string; close(): Promise<void> }>(
  t: Test,
  server: Promise<S>,
  overrides?: Overrides
): Promise<{ server: S; door: ClientDoor }> {
  trackLeaks(t)
  const started = await server
  t.teardown(() => started.close())
  return { server: started, door: openDoor(t, started.url, overrides) }
}

export const cancelled = (id: string | number): Rpc => notification('notifications/cancelled', { requestId: id })

export const answerTo = (id: string | number, result: object = {}): object => ({ jsonrpc: '2.0', id, result })

export const modernCall = (id: string | number, name: string, args: object = {}): Rpc =>
  modern(rpc(id, 'tools/call', { name, arguments: args }))
