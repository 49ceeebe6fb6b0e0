/**
 * What a client and a server say to each other, from the first message to the last but one, as a list of steps. The same
 * script is run for every pairing of transports and every revision; what a revision does not have is left out by its table.
 */
import type { TestClient } from '../helpers/clients.ts'
import { within } from '../helpers/wait.ts'
import { FEATURES, type Feature, type Revision } from './revisions.ts'
import { ASKING_STEPS } from './steps-asking.ts'
import { CALL_STEPS } from './steps-calls.ts'
import { CHANGE_STEPS } from './steps-changes.ts'
import { LIST_STEPS } from './steps-lists.ts'

export interface Scene {
  readonly c: TestClient
  readonly revision: Revision
  /** Resolves once there is a stream for what the server says on its own account. */
  listening(): Promise<void>
}

export interface Step {
  readonly name: string
  readonly needs?: Feature
  run(scene: Scene): Promise<void>
}

export const SCRIPT: readonly Step[] = [...LIST_STEPS, ...CALL_STEPS, ...ASKING_STEPS, ...CHANGE_STEPS]

/** For one step, on a machine that is busy; at rest, one takes some hundredths of a second. */
const STEP_PATIENCE = 20_000

/** The steps that were run, by name; rejects with the step that failed. */
export async function play(scene: Scene): Promise<string[]> {
  const has = FEATURES[scene.revision]
  const played: string[] = []
  for (const { name, needs, run } of SCRIPT) {
    if (needs !== undefined && !has[needs]) continue
    try {
      await within(run(scene), { timeoutMs: STEP_PATIENCE, what: 'its end' })
    } catch (error) {
      const after = played.length === 0 ? '' : ` (after '${played.at(-1)}')`
      throw new Error(`step '${name}'${after}: ${(error as Error).message}`, { cause: error })
    }
    played.push(name)
  }
  return played
}
