/** Calls to a server over HTTP, as many as a peer bears. */
import { Connection } from '../load/connection.ts'
import {
  CALL,
  CALL_TEMPLATE,
  HEADERS,
  MODERN_HEADERS,
  MODERN_RESULT,
  MODERN_TEMPLATE,
  post,
  postHead,
  RESULT,
  resultOfSize,
  SESSION_HEADER,
  VARIED
} from '../load/messages.ts'
import type { WrkResult } from '../load/wrk.ts'
import type { Peer } from '../peers/peer.ts'
import type { Plan } from '../plan.ts'
import type { Round } from '../report/results.ts'
import { NAMED_HEADER, SIZE_HEADER, startNginxServer } from '../servers/nginx.ts'
import { numbers, saturation } from './saturation.ts'
import {
  CORES,
  type Context,
  CPU,
  P50,
  P99,
  RATE,
  SATURATED,
  type Scenario,
  type Server,
  THROUGHPUT
} from './scenario.ts'

/** nginx behind, with results of these sizes besides the small one. */
export async function nginxServer({ folder, owner }: Context, sizes: readonly number[] = []): Promise<Server> {
  const server = await startNginxServer(folder, sizes)
  owner.add(() => server.stop())
  // It is stopped once, as the server of all.
  return { target: { url: server.url }, direct: { ...server, stop: async () => {} } }
}

export const small: Scenario = {
  name: 'small',
  title: 'Small calls',
  says: 'A `tools/call` of a legacy session, answered with 200 bytes. As much as 32 connections of wrk can get.',
  metrics: [RATE, ...SATURATED, CPU, CORES],
  base: 'relay',
  front: 'http',
  server: context => nginxServer(context),
  open: (peer, _kind, context) => saturation(peer, context, { messages: [CALL_TEMPLATE], expected: () => RESULT })
}

export const oneConnection: Scenario = {
  ...small,
  name: 'one-connection',
  title: 'One connection',
  says: 'The same call, again and again on one connection: what one client waits for.',
  metrics: [{ ...P50, digits: 3 }, { ...P99, digits: 3 }, RATE],
  open: (peer, _kind, context) =>
    saturation(peer, context, { messages: [CALL_TEMPLATE], expected: () => RESULT, connections: 1 })
}

export const modern: Scenario = {
  ...small,
  name: 'modern',
  title: 'Small calls, revision 2026-07-28',
  says: 'The same call as clients of the modern era make it: without a session, with `_meta` and its mirror in the headers.',
  open: (peer, _kind, context) =>
    saturation(peer, context, {
      messages: [MODERN_TEMPLATE],
      headers: MODERN_HEADERS,
      expected: () => MODERN_RESULT,
      sessions: 0
    })
}

function largeResult(name: string, title: string, connections: number, sizeOf: (plan: Plan) => number): Scenario {
  const round = (result: WrkResult & { cpu?: number }): Round => ({ mb: result.bytes / 1e6, ...numbers(result) })
  return {
    ...small,
    name,
    title,
    says: `The same call, answered with a result of ${title.replace(/^Results of /, '')}; ${connections} connections of wrk.`,
    metrics: [THROUGHPUT, RATE, ...SATURATED.slice(0, 2), { ...CPU, digits: 0 }, CORES],
    server: context => nginxServer(context, [sizeOf(context.plan)]),
    open: (peer, _kind, context) => {
      const size = sizeOf(context.plan)
      const expected = resultOfSize(size)
      const headers = { ...HEADERS, [SIZE_HEADER]: String(size) }
      return saturation(peer, context, {
        messages: [CALL_TEMPLATE],
        headers,
        expected: () => expected,
        connections,
        round
      })
    }
  }
}

export const result64k = largeResult('result-64k', 'Results of 64 KB', 32, () => 64 * 1024)
export const result8m = largeResult('result-8m', 'Results of 8 MB', 4, plan => plan.largeResult)

export const sessions: Scenario = {
  ...small,
  name: 'sessions',
  title: 'Many sessions, varied messages',
  says:
    '1,000 sessions take turns, with five kinds of messages (tools, resources, prompts; 70 to 700 bytes) and an id of its own in each. ' +
    'Before and after the load it is checked that each session is still the one of its own at the server.',
  open: async (peer, _kind, context) => {
    const load = await saturation(peer, context, {
      messages: VARIED,
      expected: () => RESULT,
      sessions: context.plan.sessions
    })
    const names = await serverNames(peer, load.sessions)
    if (new Set(names).size !== names.length) throw new Error('two sessions are one at the server')
    const check = async (): Promise<void> => {
      await load.check?.()
      const now = await serverNames(peer, load.sessions)
      if (now.some((name, i) => name !== names[i]))
        throw new Error('a session is another one at the server than it was')
    }
    return { ...load, check }
  }
}

/** What the server calls each of these sessions. */
async function serverNames(peer: Peer, ids: readonly string[]): Promise<string[]> {
  const connection = new Connection(peer.url)
  const names: string[] = []
  try {
    for (const id of ids) {
      const head = postHead(peer.url, { ...HEADERS, [NAMED_HEADER]: '1', [SESSION_HEADER]: id })
      const { status, body } = await connection.ask(post(head, CALL))
      const name = /this is session (\w+)"/.exec(body.toString())?.[1]
      if (status !== 200 || name === undefined) throw new Error(`a session has no name: status ${status}`)
      names.push(name)
    }
  } finally {
    connection.close()
  }
  return names
}
