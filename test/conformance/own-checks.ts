/** Checks of our own, for what the official suite does not look at. They run and are compared as its checks are. */
import { within } from '../helpers/wait.ts'
import type { Check, Revision, Run } from './compare.ts'
import { LEGACY_CHECKS } from './own/legacy-checks.ts'
import { MODERN_CHECKS } from './own/modern-checks.ts'
import { SHARED_CHECKS } from './own/shared-checks.ts'
import { connectWire, type Wire } from './own/wire.ts'

export interface OwnCheck {
  readonly id: string
  /** Default: all. */
  readonly revisions?: readonly Revision[]
  /** Throws what is wrong. */
  run(at: Probe): Promise<void>
}

export interface Probe {
  readonly revision: Revision
  readonly wire: Wire
  /** One more client, which the check closes. */
  connect(): Promise<Wire>
}

const CHECKS: readonly OwnCheck[] = [...SHARED_CHECKS, ...LEGACY_CHECKS, ...MODERN_CHECKS]
const SCENARIO = 'own'
const LIMIT_MS = 30_000

/** Each with a client of its own, one after the other, as they look at what happens in the meantime. */
export async function runOwnChecks(url: string, revision: Revision, signal?: AbortSignal): Promise<Run> {
  const checks: Check[] = []
  for (const check of CHECKS) {
    if (check.revisions !== undefined && !check.revisions.includes(revision)) continue
    signal?.throwIfAborted()
    const message = await within(attempt(check, url, revision), { timeoutMs: LIMIT_MS, what: check.id }).catch(sentence)
    checks.push({
      scenario: SCENARIO,
      id: check.id,
      name: 'own',
      status: message === undefined ? 'SUCCESS' : 'FAILURE',
      ...(message !== undefined && { message })
    })
  }
  return { scenarios: [SCENARIO], checks }
}

async function attempt(check: OwnCheck, url: string, revision: Revision): Promise<undefined> {
  const wire = await connectWire(url, revision)
  try {
    await check.run({ revision, wire, connect: () => connectWire(url, revision) })
  } finally {
    await wire.close()
  }
}

function sentence(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replace(/\s+/g, ' ').slice(0, 400)
}
