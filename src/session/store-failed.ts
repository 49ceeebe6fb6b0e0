import type { Log } from '../log.ts'
import { SessionStoreUnavailableError } from './store.ts'

/**
 * For the log, where nobody is told by an answer. That a store does not do its work at all is told by whoever watches it, once when it begins
 * and once when it is over: here it would be a line a request.
 */
export function storeFailed(log: Log, error: unknown): void {
  const text = `the session store failed: ${error instanceof Error ? error.message : error}`
  if (error instanceof SessionStoreUnavailableError) log.debug('store-failed', text)
  else log.error('store-failed', text)
}
