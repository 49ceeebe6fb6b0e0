import type { Shared, StoreFailure } from '../session/shared.ts'
import type { StoreView } from './subject.ts'

/** The store that several processes share, as operators see it. Asks nobody: it tells what the last operation has shown. */
export function storeView(shared: Shared, onFailure: StoreFailure, address: string | undefined): StoreView {
  const { label, state, membership } = shared
  const { ok, reason, since } = state
  return {
    name: label,
    state: ok ? 'up' : onFailure === 'local' ? 'degraded' : 'down',
    ...(!ok && reason !== undefined && { reason }),
    since,
    instance: membership.id,
    leased: membership.holds,
    ...(address !== undefined && { address })
  }
}

/** One sentence, where it does not do its work. */
export function whyStore({ name, state, reason }: StoreView): string {
  const what = `${name} does not do its work${reason === undefined ? '' : ` (${reason})`}`
  return state === 'degraded' ? `${what}: sessions that are known here go on, and nobody can begin one` : what
}
