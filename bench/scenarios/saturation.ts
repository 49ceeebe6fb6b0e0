/** Scenarios that load a peer as much as it bears, with wrk. */
import type { Whole } from '../load/connection.ts'
import { filled, HEADERS, post, postHead, SESSION_HEADER, type Template } from '../load/messages.ts'
import { expectAnswers, openAnySession, openSessions, sameBytes } from '../load/sessions.ts'
import { saturate, type WrkResult } from '../load/wrk.ts'
import type { Peer } from '../peers/peer.ts'
import type { Round } from '../report/results.ts'
import { type Context, cpuPerRequest, type Load } from './scenario.ts'

export interface Saturation {
  readonly messages: readonly Template[]
  readonly headers?: Readonly<Record<string, string>>
  /** The answer to the message with this id, in the session of this number. */
  readonly expected: (id: number, session: number) => string
  /** 0: without sessions. */
  readonly sessions?: number
  readonly connections?: number
  readonly ms?: number
  /** The server's own words open the session, whatever they are. */
  readonly anySession?: boolean
  /** Whether an answer is the expected one; by default: these bytes. */
  readonly matches?: (answer: Whole, expected: string) => boolean
  /** A result of wrk to the numbers that count. */
  readonly round?: (result: WrkResult & { readonly cpu?: number }) => Round
}

export interface SaturationLoad extends Load {
  readonly sessions: readonly string[]
  saturate(ms: number): Promise<WrkResult & { readonly cpu?: number }>
  /** How many requests wrk has had answered so far. */
  requests(): number
}

export const FIRST_ID = 10_000_000
const IDS_PER_ROUND = 1_000_000
/** Sessions whose answers are compared before and after the load. */
const SAMPLED_SESSIONS = 8

export async function saturation(peer: Peer, { plan, folder }: Context, options: Saturation): Promise<SaturationLoad> {
  const { messages, headers = HEADERS, connections = plan.connections } = options
  const sessions = await sessionsFor(peer, options)
  let loads = 0
  let answered = 0
  // wrk compares nothing; but it counts the bytes. Who writes messages anew may find shorter words.
  const { matches = sameBytes } = options
  const shortest = matches === sameBytes ? Buffer.byteLength(options.expected(1, 0)) : 0
  const check = (): Promise<void> => checkSample(peer, sessions, options)
  await check()
  const load = async (ms: number): Promise<WrkResult & { readonly cpu?: number }> => {
    const firstId = FIRST_ID + loads++ * IDS_PER_ROUND
    const result = await cpuPerRequest(peer, () =>
      saturate({ url: peer.url, connections, ms, headers, sessions, messages, firstId, folder })
    )
    if (result.bytes < result.rate * shortest) throw new Error("answers under load were shorter than the server's")
    answered += result.requests
    return result
  }
  return {
    sessions,
    saturate: load,
    requests: () => answered,
    warm: async () => void (plan.warm > 0 && (await load(plan.warm))),
    round: async () => (options.round ?? numbers)(await load(options.ms ?? plan.ms)),
    check
  }
}

export function numbers({ rate, p50, p99, p999, cpu }: WrkResult & { readonly cpu?: number }): Round {
  return { rate, p50, p99, p999, ...(cpu !== undefined && { cpu, cores: (cpu * rate) / 1e6 }) }
}

async function sessionsFor(peer: Peer, { sessions = 1, anySession }: Saturation): Promise<string[]> {
  if (sessions === 0) return []
  return anySession ? [await openAnySession(peer.url)] : openSessions(peer.url, sessions)
}

async function checkSample(peer: Peer, sessions: readonly string[], options: Saturation): Promise<void> {
  const { messages, expected, matches, headers = HEADERS } = options
  const step = Math.max(1, Math.floor(sessions.length / SAMPLED_SESSIONS))
  for (let s = 0; s < Math.max(1, sessions.length); s += step) {
    const head = postHead(peer.url, {
      ...headers,
      ...(sessions[s] !== undefined && { [SESSION_HEADER]: sessions[s]! })
    })
    const id = s + 1
    const request = post(head, filled(messages[s % messages.length]!, id))
    await expectAnswers(peer.url, request, expected(id, s), { times: 2, matches })
  }
}
