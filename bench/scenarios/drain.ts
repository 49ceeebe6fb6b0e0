/** How soon a reverse proxy that is to go has let go of those who only listen. */
import { type EventStream, openStreams } from '../load/event-stream.ts'
import { HEADERS, listenIn, MODERN, post, postHead } from '../load/messages.ts'
import { openSessions } from '../load/sessions.ts'
import { within } from '../owner.ts'
import type { Admin, Peer } from '../peers/peer.ts'
import { ANSWER_HEADER } from '../servers/streams-wire.ts'
import { small } from './calls.ts'
import type { Context, Load, Scenario } from './scenario.ts'
import { streamServer } from './streams.ts'

const TIMEOUT = 30_000
/** So many sessions with their stream to one subscription. */
const SESSIONS_TO_SUBSCRIPTIONS = 10

export const drain: Scenario = {
  ...small,
  name: 'drain',
  title: 'Draining with streams open',
  says:
    '1,000 sessions with a GET stream each and 100 `subscriptions/listen` of revision 2026-07-28, through `catflap reverse`; then `POST /api/drain`. From ' +
    'that request until the last stream has ended at its client: each as a whole answer, subscriptions after their final result. All clients are one ' +
    'program, whose own work is within the time.',
  metrics: [
    { key: 'ms', label: 'ms until the last stream ended', digits: 0, better: 'less' },
    { key: 'half', label: 'ms until half of them had', digits: 0, better: 'less' }
  ],
  base: 'catflap-drained',
  peers: ['catflap-drained'],
  fresh: true,
  server: streamServer,
  open: async (peer, _kind, context) => load(peer, context)
}

function load(peer: Peer, { plan, owner }: Context): Load {
  const { admin } = peer
  if (!admin) throw new Error('nobody can ask this peer to drain')
  return {
    round: async () => {
      const streams: EventStream[] = []
      owner.add(() => closeAll(streams))
      try {
        const sessions = await openSessions(peer.url, plan.sessions)
        const gets = sessions.map(id => listenIn(peer.url, id))
        await openStreams(peer.url, gets, streams)
        const subscriptions = Math.ceil(plan.sessions / SESSIONS_TO_SUBSCRIPTIONS)
        const posts = Array.from({ length: subscriptions }, (_, id) => subscribe(peer.url, id))
        await openStreams(peer.url, posts, streams)
        const asked = performance.now()
        await askToDrain(admin)
        const ends = await within(TIMEOUT, 'all streams to end', Promise.all(streams.map(({ ended }) => ended)))
        for (const [i, { text }] of streams.entries()) checkEnd(text, i < gets.length ? undefined : i - gets.length)
        const took = ends.map(end => end - asked).sort((a, b) => a - b)
        // What is gone already would make the rest look fast.
        if (took[0]! < 0) throw new Error('a stream has ended before anybody asked')
        return { ms: took.at(-1)!, half: took[took.length >> 1]! }
      } finally {
        closeAll(streams)
      }
    }
  }
}

function closeAll(streams: EventStream[]): void {
  for (const stream of streams.splice(0)) stream.close()
}

function subscribe(url: string, id: number): string {
  const _meta = {
    'io.modelcontextprotocol/protocolVersion': MODERN,
    'io.modelcontextprotocol/clientInfo': { name: 'bench', version: '1' },
    'io.modelcontextprotocol/clientCapabilities': {}
  }
  const params = { notifications: { toolsListChanged: true }, _meta }
  const method = 'subscriptions/listen'
  const headers = { ...HEADERS, 'MCP-Protocol-Version': MODERN, 'Mcp-Method': method, [ANSWER_HEADER]: 'listen' }
  return post(postHead(url, headers), JSON.stringify({ jsonrpc: '2.0', id, method, params }))
}

async function askToDrain({ url, token }: Admin): Promise<void> {
  const headers = { Authorization: `Bearer ${token}` }
  const answer = await fetch(`${url}/api/drain`, { method: 'POST', headers, signal: AbortSignal.timeout(TIMEOUT) })
  const said = await answer.text()
  if (answer.status !== 202) throw new Error(`drain: status ${answer.status}: ${said.slice(0, 200)}`)
}

/** A subscription ends with the result of its request; on the stream of a session there is nothing to say. */
function checkEnd(text: string, subscription: number | undefined): void {
  const last = /\ndata: (.*)\n\n$/.exec(text)?.[1]
  if (subscription === undefined) {
    if (text.includes('data:')) throw new Error(`the stream of a session has said ${text.slice(-200)}`)
    return
  }
  const { id, result } = JSON.parse(last ?? '{}') as { id?: number; result?: { resultType?: string } }
  if (id !== subscription || result?.resultType !== 'complete')
    throw new Error(`subscription ${subscription} has ended without its result: ${text.slice(-200)}`)
}
