/** Different eras on the two sides. catflap does not translate between them; this is what happens instead. */
import { HANDLERS } from '../helpers/clients.ts'
import { WIRES, type Wire } from './matrix.ts'
import { say } from './say.ts'
import { type ServerEra, stageServer } from './servers.ts'
import { connectAt, stageDoor } from './stage.ts'

export interface Crossing {
  /** What the client speaks (`auto`: all revisions, the newest first) and what the server does. */
  readonly client: 'legacy' | 'modern' | 'auto'
  readonly server: ServerEra
  /** The revision that is spoken in the end; undefined: none. */
  readonly spoken: string | undefined
  /** What a client that is refused is told. */
  readonly told?: RegExp
  readonly instead: string
}

export const CROSSINGS: readonly Crossing[] = [
  {
    client: 'modern',
    server: 'legacy',
    spoken: undefined,
    instead: "refused: the client gets the server's own answer to a request of a revision it does not know"
  },
  {
    client: 'auto',
    server: 'legacy',
    spoken: '2025-11-25',
    instead: 'works: from that answer the client knows, and it begins anew with `initialize`'
  },
  {
    client: 'legacy',
    server: 'modern',
    spoken: undefined,
    told: /2026-07-28/,
    instead: "refused: the client gets an error that names the server's revisions"
  },
  { client: 'legacy', server: 'dual', spoken: '2025-11-25', instead: 'works, in the revision of the client' },
  { client: 'auto', server: 'dual', spoken: '2026-07-28', instead: 'works, in 2026-07-28' }
]

export interface CrossingCase {
  readonly name: string
  readonly crossing: Crossing
  readonly client: Wire
  readonly server: Wire
}

/** Each crossing over each pair of transports that has it: only clients and servers of earlier revisions know HTTP+SSE. */
export const CROSSING_CASES: readonly CrossingCase[] = CROSSINGS.flatMap(crossing =>
  WIRES.flatMap(client =>
    WIRES.filter(server => exists(crossing, client, server)).map(server => ({
      name: `${crossing.client} client on ${client} > ${crossing.server} server on ${server}`,
      crossing,
      client,
      server
    }))
  )
)

function exists(crossing: Crossing, client: Wire, server: Wire): boolean {
  if (client === 'sse' && crossing.client !== 'legacy') return false
  return server !== 'sse' || crossing.server === 'legacy'
}

export interface Crossed {
  readonly spoken: string | undefined
  readonly refusal: Error | undefined
  /** What is not as it should be, in words. */
  readonly problem: string | undefined
}

export async function cross(it: CrossingCase): Promise<Crossed> {
  const { spoken, refusal } = await meet(it)
  const wanted = it.crossing
  const heard = refusal && `${allOf(refusal)}`
  if (spoken !== wanted.spoken)
    return { spoken, refusal, problem: `spoken: ${spoken}, expected: ${wanted.spoken}; ${heard ?? 'not refused'}` }
  const untold = wanted.told !== undefined && !wanted.told.test(heard ?? '')
  return { spoken, refusal, problem: untold ? `the refusal does not tell ${wanted.told}: ${heard}` : undefined }
}

type Meeting = Omit<Crossed, 'problem'>

async function meet({ crossing, client, server }: CrossingCase): Promise<Meeting> {
  const staged = await stageServer(server, crossing.server)
  const { place, door } = await stageDoor(client, staged)
  const connectAndLeave = async (): Promise<string | undefined> => {
    const c = await connectAt(client, place, { era: crossing.client, handlers: HANDLERS })
    try {
      await say(c, 'count')
      return c.client.getNegotiatedProtocolVersion()
    } finally {
      await c.close()
    }
  }
  try {
    const first = await outcomeOf(connectAndLeave())
    if (door === undefined) return first
    // What catflap found out with the first client must not change what the second one sees.
    const second = await outcomeOf(connectAndLeave())
    return first.spoken === second.spoken ? first : second
  } finally {
    await door?.close({ drainTimeout: 0 })
    await staged.close()
  }
}

function outcomeOf(connecting: Promise<string | undefined>): Promise<Meeting> {
  return connecting.then(
    spoken => ({ spoken, refusal: undefined }),
    (refusal: Error) => ({ spoken: undefined, refusal })
  )
}

/** All that a client is given with a refusal. */
function allOf(error: Error & { readonly data?: unknown }): string {
  const cause = error.cause instanceof Error ? ` (${allOf(error.cause)})` : ''
  return `${error.message} ${JSON.stringify(error.data) ?? ''}${cause}`
}
