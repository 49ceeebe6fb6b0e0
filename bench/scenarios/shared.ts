/** What it costs that sessions are kept in Redis, and how soon one is served again whose instance is gone. */
import { setTimeout as pause } from 'node:timers/promises'
import { Connection } from '../load/connection.ts'
import { CALL, HEADERS, post, postHead, SESSION_HEADER } from '../load/messages.ts'
import { openAnySession, openSessions } from '../load/sessions.ts'
import type { Peer } from '../peers/peer.ts'
import type { Round } from '../report/results.ts'
import { sessions } from './calls.ts'
import type { Context, Load, Scenario } from './scenario.ts'
import { stdio } from './stdio.ts'

/** Between two tries, in ms. */
const AGAIN = 20
const PATIENCE = 60_000

export const store: Scenario = {
  ...sessions,
  name: 'store',
  title: 'Sessions in Redis',
  says: `${sessions.says} Through catflap as a library: with sessions in memory, and with sessions in a Redis on the same machine, sealed.`,
  metrics: [...sessions.metrics, { key: 'asked', label: 'operations in Redis/request', digits: 3, better: 'less' }],
  base: 'library',
  peers: ['library', 'library-redis'],
  open: async (peer, kind, context) => counted(peer, await sessions.open(peer, kind, context))
}

/** What a request asks of Redis, on average. */
function counted({ shared }: Peer, load: Load): Load {
  if (shared === undefined) return load
  const round = async (): Promise<Round> => {
    const [before, from] = [await shared.commands(), performance.now()]
    const done = await load.round()
    const requests = (done.rate! * (performance.now() - from)) / 1_000
    return { ...done, asked: ((await shared.commands()) - before) / requests }
  }
  return { ...load, round }
}

export const storeSize: Scenario = {
  ...sessions,
  name: 'store-size',
  title: 'What a session takes in Redis',
  says: 'So many sessions are opened; what Redis then takes more for its data, by its own account.',
  metrics: [{ key: 'bytes', label: 'bytes/session', digits: 0, better: 'less' }],
  base: 'library-redis',
  peers: ['library-redis'],
  fresh: true,
  open: async (peer, _kind, context) => size(peer, context)
}

function size(peer: Peer, { plan }: Context): Load {
  const used = (): Promise<number> => peer.shared!.used()
  return {
    round: async () => {
      const count = Math.max(...plan.growth.sessions)
      // What the first one has Redis make, no session after it does.
      await openSessions(peer.url, 1)
      const before = await used()
      await openSessions(peer.url, count)
      return { bytes: ((await used()) - before) / count }
    }
  }
}

export const takeover: Scenario = {
  ...stdio,
  name: 'takeover',
  title: 'A session whose instance is killed',
  says:
    'Two instances in front of a command, with one Redis and leases of 2 s. A session is opened at the first, which is killed (SIGKILL); from then on the ' +
    'second is asked in that session again and again, until it answers. It has to start another process for it, and to repeat `initialize`.',
  metrics: [
    { key: 'ms', label: 'ms until it is answered', digits: 0, better: 'less' },
    { key: 'beyond', label: 'ms beyond the lease', digits: 0, better: 'less' }
  ],
  base: 'library-redis-two',
  peers: ['library-redis-two'],
  fresh: true,
  open: async peer => {
    const { others, lease } = peer.shared!
    return {
      round: async () => {
        const session = await openAnySession(peer.url)
        if (!(await answers(peer.url, session)) || !(await answers(others[0]!.url, session)))
          throw new Error('an instance does not serve the session')
        const killed = performance.now()
        process.kill(peer.pid!, 'SIGKILL')
        while (!(await answers(others[0]!.url, session))) {
          if (performance.now() - killed > PATIENCE) throw new Error('nobody serves the session any more')
          await pause(AGAIN)
        }
        const ms = performance.now() - killed
        return { ms, beyond: ms - lease }
      }
    }
  }
}

async function answers(url: string, session: string): Promise<boolean> {
  const connection = new Connection(url)
  try {
    const { status, body } = await connection.ask(post(postHead(url, { ...HEADERS, [SESSION_HEADER]: session }), CALL))
    if (status === 404) throw new Error(`the session is lost: ${body}`)
    return status === 200 && body.includes('"result"')
  } finally {
    connection.close()
  }
}
