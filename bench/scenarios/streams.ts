/** Answers that are streams of events. */
import { CALL, CALL_TEMPLATE, EVENTS, HEADERS, post, postHead, SESSION_HEADER, STREAM } from '../load/messages.ts'
import { openLoop } from '../load/open-loop.ts'
import { openSessions } from '../load/sessions.ts'
import { ANSWER_HEADER, startStreams } from '../servers/streams-wire.ts'
import { small } from './calls.ts'
import { doubts, doubtsNoted } from './rates.ts'
import { numbers, saturation } from './saturation.ts'
import { CORES, type Context, CPU, P50, P99, RATE, SATURATED, type Scenario, type Server } from './scenario.ts'

/** Requests a second whose first event is waited for. */
const PACED_RATE = 40

/** The streaming server behind. */
export async function streamServer({ owner }: Context): Promise<Server> {
  const server = await startStreams()
  owner.add(() => server.stop())
  return { target: { url: server.url }, direct: { ...server, stop: async () => {} } }
}

export const events: Scenario = {
  ...small,
  name: 'sse',
  title: 'Streams of progress',
  says:
    `A call that is answered with an SSE stream of ${EVENTS} progress notifications and the result, each written by itself. ` +
    '8 connections of wrk. The server is a Node program; `direct` shows what it can do.',
  metrics: [
    { ...RATE, label: 'streams/s' },
    { ...RATE, key: 'events', label: 'events/s' },
    ...SATURATED.slice(0, 2),
    { ...CPU, digits: 0 },
    CORES
  ],
  server: streamServer,
  open: (peer, _kind, context) =>
    saturation(peer, context, {
      messages: [CALL_TEMPLATE],
      headers: { ...HEADERS, [ANSWER_HEADER]: 'stream' },
      expected: () => STREAM.join(''),
      connections: Math.min(8, context.plan.connections),
      round: result => ({ ...numbers(result), events: result.rate * STREAM.length })
    })
}

export const firstEvent: Scenario = {
  ...small,
  name: 'first-event',
  title: 'Time to the first event',
  says:
    `The same stream with ${EVENTS} ms between its first event and its result, ${PACED_RATE} calls a second: from the moment the call should ` +
    'have been sent to the first bytes of the first event. Every byte of every stream is compared.',
  metrics: [
    { ...P50, label: 'p50 ms to the first event', digits: 3 },
    { ...P99, label: 'p99 ms' }
  ],
  notes: doubtsNoted(),
  server: streamServer,
  open: async (peer, _kind, { plan }) => {
    const [session] = await openSessions(peer.url, 1)
    const headers = { ...HEADERS, [SESSION_HEADER]: session!, [ANSWER_HEADER]: 'paced' }
    const request = post(postHead(peer.url, headers), CALL)
    const load = (ms: number): ReturnType<typeof openLoop> =>
      openLoop({
        url: peer.url,
        request,
        expected: STREAM.join(''),
        rate: PACED_RATE,
        ms,
        warm: plan.warm,
        connections: 64,
        until: 'first'
      })
    return {
      round: async () => {
        const { p50, p99, ...others } = await load(plan.ms)
        return { p50, p99, ...doubts(others, p99) }
      }
    }
  }
}
