/** Whether cost grows with what there is: more sessions, longer messages. */
import { CALL_TEMPLATE, callOfSize, HEADERS, RESULT, resultOfSize } from '../load/messages.ts'
import { openSessions } from '../load/sessions.ts'
import { saturate } from '../load/wrk.ts'
import type { Plan } from '../plan.ts'
import type { Round } from '../report/results.ts'
import { SIZE_HEADER } from '../servers/nginx.ts'
import { nginxServer } from './calls.ts'
import { FIRST_ID, type Saturation, saturation } from './saturation.ts'
import { type Context, CPU, cpuPerRequest, type Load, RATE, type Scenario, type Server } from './scenario.ts'

const PEERS = ['nginx', 'http-proxy-3-keep-alive', 'relay', 'bare-relay', 'catflap']

const curved: Omit<Scenario, 'name' | 'title' | 'says' | 'curve' | 'open'> = {
  metrics: [{ ...CPU, label: 'processor time, µs/request' }, RATE],
  base: 'relay',
  peers: PEERS,
  front: 'http',
  server: (context: Context): Promise<Server> => nginxServer(context, sizesOf(context.plan))
}

export const growthSessions: Scenario = {
  ...curved,
  name: 'growth-sessions',
  title: 'Cost with the number of sessions',
  says: 'The small call, in so many open sessions that take turns. Each round has every peer started anew, and each number is warmed up.',
  fresh: true,
  curve: plan => ({ label: 'open sessions', points: plan.growth.sessions, unit: 'count' }),
  open: async (peer, _kind, context) => {
    const { growth, connections, warm } = context.plan
    const { folder } = context
    const sessions: string[] = []
    const at = async (count: number): Promise<Round> => {
      sessions.push(...(await openSessions(peer.url, Math.max(0, count - sessions.length))))
      const load = (ms: number): ReturnType<typeof saturate> =>
        saturate({
          ...{ url: peer.url, connections, ms, headers: HEADERS, messages: [CALL_TEMPLATE] },
          ...{ sessions: sessions.slice(0, count), firstId: FIRST_ID, folder }
        })
      // Opening sessions makes V8 throw compiled code away; that it compiles anew has nothing to do with how many there are.
      if (warm > 0) await load(warm)
      const { rate, cpu } = await cpuPerRequest(peer, () => load(growth.ms))
      return roundAt(count, rate, cpu)
    }
    const check = await saturation(peer, context, { messages: [CALL_TEMPLATE], expected: () => RESULT })
    // One session is open for the check.
    sessions.push(...check.sessions)
    return overPoints(growth.sessions, at, check)
  }
}

export const growthResults: Scenario = {
  ...curved,
  name: 'growth-results',
  title: 'Cost with the size of results',
  says: 'The small call, answered with so many bytes.',
  curve: plan => ({ label: 'bytes of the result', points: sizesOf(plan), unit: 'bytes' }),
  open: (peer, _kind, context) =>
    eachSize(peer, context, size => ({
      messages: [CALL_TEMPLATE],
      headers: { ...HEADERS, [SIZE_HEADER]: String(size) },
      expected: () => resultOfSize(size)
    }))
}

export const growthRequests: Scenario = {
  ...curved,
  name: 'growth-requests',
  title: 'Cost with the size of requests',
  says: 'A call with arguments of so many bytes, answered with 200 bytes once the server has read it whole.',
  curve: plan => ({ label: 'bytes of the request', points: requestSizesOf(plan), unit: 'bytes' }),
  open: (peer, _kind, context) =>
    eachSize(
      peer,
      context,
      size => ({
        messages: [callOfSize(size)],
        headers: HEADERS,
        expected: () => RESULT
      }),
      requestSizesOf(context.plan)
    )
}

function sizesOf({ growth }: Plan): readonly number[] {
  return growth.sizes
}

/** wrk writes a request whole, again and again: what is longer would be a measure of wrk. */
function requestSizesOf({ growth }: Plan): readonly number[] {
  return growth.sizes.filter(size => size <= 1024 * 1024)
}

async function eachSize(
  peer: Parameters<Scenario['open']>[0],
  context: Context,
  loadOf: (size: number) => Saturation,
  sizes = sizesOf(context.plan)
): Promise<Load> {
  const loads = new Map<number, Awaited<ReturnType<typeof saturation>>>()
  // Few connections: with many, large messages would mean more memory than work.
  const connections = Math.min(8, context.plan.connections)
  for (const size of sizes) loads.set(size, await saturation(peer, context, { ...loadOf(size), connections }))
  const at = async (size: number): Promise<Round> => {
    const { rate, cpu } = await loads.get(size)!.saturate(context.plan.growth.ms)
    return roundAt(size, rate, cpu)
  }
  const check = async (): Promise<void> => {
    for (const load of loads.values()) await load.check?.()
  }
  return overPoints(sizes, at, { warm: loads.get(sizes[0]!)!.warm, check })
}

function roundAt(point: number, rate: number, cpu: number | undefined): Round {
  return { [`rate@${point}`]: rate, ...(cpu !== undefined && { [`cpu@${point}`]: cpu }) }
}

function overPoints(
  points: readonly number[],
  at: (point: number) => Promise<Round>,
  { warm, check }: Omit<Load, 'round'>
): Load {
  return {
    warm,
    check,
    round: async () => {
      const rounds: Round[] = []
      for (const point of points) rounds.push(await at(point))
      return Object.assign({}, ...rounds) as Round
    }
  }
}
