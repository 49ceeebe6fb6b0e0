/** Memory of those who do nothing: at rest, for a session, for a session with its stream open. */
import { setTimeout as pause } from 'node:timers/promises'
import { type EventStream, openStreams } from '../load/event-stream.ts'
import { BROADCAST, CALL, HEADERS, listenIn, post, postHead, RESULT, SESSION_HEADER } from '../load/messages.ts'
import { expectAnswers, openSessions } from '../load/sessions.ts'
import { within } from '../owner.ts'
import type { Peer } from '../peers/peer.ts'
import type { Plan } from '../plan.ts'
import { ANSWER_HEADER } from '../servers/streams-wire.ts'
import { small } from './calls.ts'
import type { Context, Load, Scenario } from './scenario.ts'
import { streamServer } from './streams.ts'

const MB = 1024 * 1024
const TIMEOUT = 30_000
/** How many clients ask at once. */
const AT_ONCE = 100
const SETTLE_TRIES = 10

export const idle: Scenario = {
  ...small,
  name: 'idle',
  title: 'Idle sessions with their stream open',
  says:
    "4,000 sessions are opened, then a GET stream for each, and nothing happens. Resident memory by the system's account: at rest after as " +
    'many calls, what a session adds, and what a session with its stream adds, kernel buffers not counted. At the end the server says something on all ' +
    'streams, and each client has to hear it.',
  metrics: [
    { key: 'kbStream', label: 'KB/session with stream', digits: 1, better: 'less' },
    { key: 'kbSession', label: 'KB/session', digits: 1, better: 'less' },
    { key: 'mbRest', label: 'MB at rest', digits: 1, better: 'less' }
  ],
  base: 'relay',
  peers: ['nginx', 'haproxy', 'http-proxy-3-keep-alive', 'relay', 'bare-relay', 'catflap'],
  fresh: true,
  server: streamServer,
  open: async (peer, _kind, context) => load(peer, context)
}

function load(peer: Peer, { plan, owner }: Context): Load {
  return {
    round: async () => {
      const [first] = await openSessions(peer.url, 1)
      // What a program's first thousands of requests make it take once and for all is not what a session costs.
      const times = Math.ceil(plan.idle / AT_ONCE)
      const some = (): Promise<void> => expectAnswers(peer.url, callIn(peer, first!), RESULT, { times })
      await Promise.all(Array.from({ length: AT_ONCE }, some))
      const rest = await settledRss(peer, plan)
      const sessions = await openSessions(peer.url, plan.idle)
      const opened = await settledRss(peer, plan)
      const streams: EventStream[] = []
      const closeAll = (): void =>
        streams.splice(0).forEach(stream => {
          stream.close()
        })
      owner.add(closeAll)
      try {
        await openStreams(
          peer.url,
          sessions.map(id => listenIn(peer.url, id)),
          streams
        )
        const listening = await settledRss(peer, plan)
        await expectAnswers(peer.url, callIn(peer, first!, 'broadcast'), RESULT, { times: 1 })
        await within(
          TIMEOUT,
          'all streams to hear the server',
          Promise.all(streams.map(stream => stream.heard(BROADCAST)))
        )
        const kb = (bytes: number): number => bytes / 1024 / plan.idle
        return { kbStream: kb(listening - rest), kbSession: kb(opened - rest), mbRest: rest / MB }
      } finally {
        closeAll()
      }
    }
  }
}

function callIn(peer: Peer, session: string, answer?: string): string {
  const headers = { ...HEADERS, [SESSION_HEADER]: session, ...(answer !== undefined && { [ANSWER_HEADER]: answer }) }
  return post(postHead(peer.url, headers), CALL)
}

/** Once it has stopped falling. Throws where the system does not tell. */
export async function settledRss(peer: Peer, { settle }: Plan): Promise<number> {
  let before = rssNow(peer)
  for (let i = 0; i < SETTLE_TRIES; i++) {
    await pause(settle)
    const now = rssNow(peer)
    if (Math.abs(now - before) < 256 * 1024) return now
    before = now
  }
  return before
}

export function rssNow(peer: Peer): number {
  const rss = peer.rss()
  if (!rss) throw new Error('resident memory is read from /proc, which is not there')
  return rss
}
