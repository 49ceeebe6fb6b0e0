/** Runs the script in one cell, from an empty stage to an empty stage. */
import type { Forward } from '../../src/index.ts'
import type { Wire } from './matrix.ts'
import { isModern, type Revision } from './revisions.ts'
import { play } from './script.ts'
import { stageServer } from './servers.ts'
import { directly, type Pairing, stageClient, stageDoor } from './stage.ts'

/** The script without catflap, which proves that the script is right; both sides on the same transport. */
export async function runDirectly(wire: Wire, revision: Revision): Promise<string[]> {
  return runPairing({ client: wire, server: wire, revision }, false)
}

export async function runThrough(pairing: Pairing): Promise<string[]> {
  return runPairing(pairing, true)
}

async function runPairing(pairing: Pairing, through: boolean): Promise<string[]> {
  const server = await stageServer(pairing.server, isModern(pairing.revision) ? 'modern' : 'legacy')
  let door: Forward | undefined
  let end: (() => Promise<void>) | undefined
  try {
    const staged = through ? await stageDoor(pairing.client, server) : { place: directly(server), door: undefined }
    door = staged.door
    const client = await stageClient(pairing, staged.place)
    end = () => client.end()
    const scene = { c: client.c, revision: pairing.revision, listening: once(() => client.listening()) }
    const played = await play(scene)
    noComplaints(client.c.errors)
    end = undefined
    await client.end()
    // A child that modern clients share lives as long as the door.
    if (isModern(pairing.revision)) await emptied(door)
    await server.gone()
    if (door && door.stats.sessions > 0) throw new Error(`${door.stats.sessions} sessions are left in catflap`)
    await emptied(door)
    return played
  } finally {
    await end?.().catch(() => {})
    await door?.close({ drainTimeout: 0 })
    await server.close()
  }
}

async function emptied(door: Forward | undefined): Promise<void> {
  if (door === undefined) return
  await door.close({ drainTimeout: 0 })
  const { sessions, exchanges, streams, connections } = door.stats
  if (sessions + exchanges + streams + connections > 0) throw new Error(`left: ${JSON.stringify(door.stats)}`)
}

/** What the client found wrong. That the SDK drops progress which comes in one chunk with its result is no fault. */
const EXPECTED = /progress notification for an unknown token|"code":-32601/

function noComplaints(errors: readonly Error[]): void {
  const faults = errors.filter(({ message }) => !EXPECTED.test(message))
  if (faults.length > 0) throw new Error(`the client complained: ${faults.map(String).join('; ')}`)
}

function once(act: () => Promise<void>): () => Promise<void> {
  let done: Promise<void> | undefined
  return () => (done ??= act())
}
