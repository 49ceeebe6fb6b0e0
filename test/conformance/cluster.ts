/** Three instances behind a round robin, with one Redis: each request of a client is the next instance's. */
import { openGroup } from '../cluster/group.ts'
import { startReferenceServer } from '../fixtures/conformance/http-server.ts'
import { startPipedReference } from '../fixtures/conformance/piped-server.ts'
import type { OpenTarget, Target } from './targets.ts'

/** Longer than any scenario: nothing of the suite is about sessions that expire. */
const IDLE = 30 * 60_000

/** By the name under which the table shows them. */
export const CLUSTERS: Readonly<Record<string, OpenTarget>> = {
  'cluster-http': async () => {
    const server = await startReferenceServer()
    return clusterBefore(server.url, () => server.close())
  },
  'cluster-stdio': async () => {
    const server = await startPipedReference()
    return clusterBefore(server.command, () => server.close())
  }
}

async function clusterBefore(behind: string | readonly string[], leave: () => Promise<void>): Promise<Target> {
  try {
    const loss = typeof behind === 'string' ? 'reinitialize' : 'propagate'
    const group = await openGroup({ instances: 3, store: 'redis', loss, idle: IDLE }, behind)
    const close = async (): Promise<void> => {
      const faults = await group.stop()
      await group.close()
      await leave()
      if (faults.length > 0) throw new Error(faults.join('; '))
    }
    return { url: group.url, close }
  } catch (error) {
    await leave()
    throw error
  }
}
