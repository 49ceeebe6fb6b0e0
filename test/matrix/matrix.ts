/** Every pairing of a client's transport, a server's transport and a revision, with what is to be expected of it. */
import { isModern, REVISIONS, type Revision } from './revisions.ts'

export const WIRES = ['streamable-http', 'sse', 'stdio'] as const
export type Wire = (typeof WIRES)[number]

/** How people call them. */
export const WIRE_NAMES: Readonly<Record<Wire, string>> = {
  'streamable-http': 'Streamable HTTP',
  sse: 'HTTP+SSE',
  stdio: 'stdio'
}

/** `impossible`: the revision has no such transport. */
export type Verdict = 'works' | 'impossible'

export interface Cell {
  readonly name: string
  readonly client: Wire
  readonly server: Wire
  readonly revision: Revision
  readonly verdict: Verdict
}

export const CELLS: readonly Cell[] = WIRES.flatMap(client =>
  WIRES.flatMap(server =>
    REVISIONS.map(revision => ({
      name: `${client} > ${server}, ${revision}`,
      client,
      server,
      revision,
      verdict: verdictOf(client, server, revision)
    }))
  )
)

function verdictOf(client: Wire, server: Wire, revision: Revision): Verdict {
  return isModern(revision) && (client === 'sse' || server === 'sse') ? 'impossible' : 'works'
}
