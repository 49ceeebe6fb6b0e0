import { inTime } from '../in-time.ts'
import type { Log } from '../log.ts'

export type Step = readonly [what: string, run: () => Promise<unknown> | undefined]

/**
 * Runs every step, in order: whatever fails or hangs (a store whose server is gone) must not keep the rest from being
 * closed. What went wrong is logged.
 */
export async function closeAll(steps: readonly Step[], patience: number, log: Log): Promise<void> {
  for (const [what, run] of steps) {
    try {
      // Called within a promise, so that what throws at once counts as failed too.
      await inTime(
        Promise.resolve().then(run),
        patience,
        () => new Error(`it did not end within ${patience} ms and was left`)
      )
    } catch (error) {
      log.error('close-failed', `closing ${what} failed: ${error instanceof Error ? error.message : error}`)
    }
  }
}
