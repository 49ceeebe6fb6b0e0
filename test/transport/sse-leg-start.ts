/** A leg at a server on HTTP+SSE, and everything it says. */
import type { Test } from 'tap'
import { Message } from '../../src/protocol/message.ts'
import { HttpUpstream } from '../../src/transport/upstream/http.ts'
import { SseLeg, type SseLegOptions } from '../../src/transport/upstream/sse.ts'
import type { CallReceiver, UpstreamCall } from '../../src/transport/upstream.ts'
import { type RawSseOptions, type RawSseServer, startRawSse } from '../fixtures/servers/raw-sse.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { Inbox } from '../helpers/wait.ts'

type LegOptions = Partial<SseLegOptions> & { readonly targetHeaders?: readonly string[] }

export function openLeg(t: Test, url: string, { targetHeaders = [], ...options }: LegOptions = {}) {
  const upstream = new HttpUpstream(new URL(url), {
    headers: targetHeaders,
    connections: 20,
    maxPending: 100,
    connectTimeout: 10_000,
    headersTimeout: 0,
    keepAliveTimeout: 1_000,
    closeTimeout: 1_000
  })
  const log = new Inbox<string>('what the leg says')
  const leg = new SseLeg(
    upstream,
    { connectTimeout: 10_000, maxLine: 1_000_000, maxInput: 1_000_000, ...options },
    {
      message: (m, call) => log.push(`${call ? 'owned ' : ''}${m.bytes}`),
      late: m => log.push(`late ${m.bytes}`),
      noise: bytes => log.push(`noise ${bytes.subarray(0, 40)}`),
      stderr() {},
      lost: (error, facts) => log.push(`lost ${error.code} ${error.message} ${JSON.stringify(facts)}`),
      own: m => log.push(`own ${m.bytes}`),
      note: text => log.push(`note ${text}`),
      full: () => log.push('full'),
      drain: () => log.push('drain')
    }
  )
  t.teardown(async () => {
    await leg.close()
    await upstream.close()
  })
  const say = (text: string | object, headers: readonly string[] = []) => {
    const heard = new Inbox<string>(`what ${JSON.stringify(text).slice(0, 60)} hears`)
    const receiver: CallReceiver = {
      onHead() {},
      onData() {},
      onMessage: (m, last) => heard.push(`${last ? 'last' : 'message'} ${m.bytes}`),
      onEnd: () => heard.push('end'),
      onError: error => heard.push(`error ${error.code} ${error.message}`),
      onCancelled: () => heard.push('cancelled')
    }
    const message = Message.parse(Buffer.from(typeof text === 'string' ? text : JSON.stringify(text)))
    const kind = message.kind === 'request' ? ('request' as const) : ('notify' as const)
    const input = { kind, era: 'legacy' as const, message, batch: undefined, body: undefined, headers }
    const handle: UpstreamCall = leg.call(input, receiver)
    return { heard, handle }
  }
  return { leg, log, say, upstream }
}

export async function start(t: Test, served: RawSseOptions = {}, options: LegOptions = {}) {
  trackLeaks(t)
  const server: RawSseServer = await startRawSse(served)
  t.teardown(() => server.close())
  return { server, ...openLeg(t, server.url, options) }
}

export const answer = (id: number | string, result: unknown = {}) => ({ jsonrpc: '2.0', id, result })
export const lostIn = (log: Inbox<string>) => log.until(l => l.startsWith('lost'))
