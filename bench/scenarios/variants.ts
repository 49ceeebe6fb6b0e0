/** What catflap's own features cost: the small call, beside catflap without them. */

import { CALL_TEMPLATE, filled, RESULT, RESULT_TEMPLATE } from '../load/messages.ts'
import { checkTape } from '../load/tape.ts'
import type { Peer } from '../peers/peer.ts'
import { small } from './calls.ts'
import { FIRST_ID, saturation } from './saturation.ts'
import type { Context, Load, Scenario } from './scenario.ts'

const SCRAPE_EVERY = 1_000

export const recording: Scenario = {
  ...small,
  name: 'recording',
  title: 'Recording on',
  says:
    'The small call with `--record` to a file and the policy `block`. Afterwards the tape is read: every exchange has to be on it, request and answer ' +
    'byte by byte.',
  base: 'catflap',
  peers: ['catflap', 'catflap-recording'],
  open: async (peer, _kind, context) => {
    const load = await saturation(peer, context, { messages: [CALL_TEMPLATE], expected: () => RESULT })
    const { tape } = peer
    if (tape === undefined) return load
    const expecting = { request: CALL_TEMPLATE, answer: RESULT, firstId: FIRST_ID }
    return {
      ...load,
      afterwards: async () => void (await checkTape(tape, { ...expecting, exchanges: load.requests() }))
    }
  }
}

export const metrics: Scenario = {
  ...small,
  name: 'metrics',
  title: 'Metrics on, and scraped',
  says: 'The small call with `--metrics`, which are read once a second meanwhile.',
  base: 'catflap',
  peers: ['catflap', 'catflap-metrics'],
  open: async (peer, _kind, context) => {
    const load = await saturation(peer, context, { messages: [CALL_TEMPLATE], expected: () => RESULT })
    return peer.metrics === undefined ? load : scraped(peer.metrics, load, context)
  }
}

function scraped(url: string, load: Load, { plan }: Context): Load {
  const every = Math.min(SCRAPE_EVERY, plan.ms / 2)
  const meanwhile = async <T>(work: () => Promise<T>): Promise<T> => {
    const scrapes: Promise<void>[] = []
    const timer = setInterval(() => void scrapes.push(scrape(url)), every)
    try {
      const done = await work()
      await Promise.all(scrapes)
      return done
    } finally {
      clearInterval(timer)
      await Promise.allSettled(scrapes)
    }
  }
  return {
    ...load,
    // The first scrapes have code compiled, and some of what was compiled for the load alone compiled anew.
    warm: () => meanwhile(async () => load.warm?.()),
    round: () => meanwhile(() => load.round()),
    check: async () => {
      await load.check?.()
      await scrape(url)
    }
  }
}

async function scrape(url: string): Promise<void> {
  const response = await fetch(url, { signal: AbortSignal.timeout(10_000) })
  const text = await response.text()
  if (response.status !== 200 || !/^# TYPE mcp_server_operation_duration\w* histogram$/m.test(text))
    throw new Error(`${url}: status ${response.status}, ${text.slice(0, 200)}`)
}

export const routes: Scenario = {
  ...small,
  name: 'routes',
  title: 'A reverse proxy, and its routes',
  says: 'The small call through `catflap forward`, and through `catflap reverse` with one route and with ten.',
  base: 'catflap',
  peers: ['catflap', 'catflap-reverse', 'catflap-reverse-ten']
}

export const replay: Scenario = {
  ...small,
  name: 'replay',
  title: 'Out of a tape',
  says:
    'The small call through `catflap forward` to nginx, and from `catflap replay`, which has that call on a tape: nobody is behind it. It finds the ' +
    'recording by all that the request says, and answers with the id it was asked with.',
  base: 'catflap',
  peers: ['catflap', 'catflap-replay'],
  open: (peer, _kind, context) => {
    const expected = (id: number): string => (peer.replays ? filled(RESULT_TEMPLATE, id) : RESULT)
    return saturation(peer, context, { messages: [CALL_TEMPLATE], expected })
  }
}

export const interceptors: Scenario = {
  ...small,
  name: 'interceptors',
  title: 'Ten interceptors',
  says:
    'The small call through catflap as a library: without interceptors, with ten that do nothing at each of the hooks that see an exchange pass, and with ' +
    'ten that moreover want to see every message, which has messages taken out of what otherwise would flow by.',
  base: 'library',
  peers: ['library', 'library-ten', 'library-ten-reading'],
  open: (peer: Peer, _kind, context) => saturation(peer, context, { messages: [CALL_TEMPLATE], expected: () => RESULT })
}
