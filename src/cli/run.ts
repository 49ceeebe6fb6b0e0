import type { Log } from '../log.ts'
import type { StdioEnd } from '../proxy/serve-stdio.ts'
import { endIfStuck, endNow } from './end.ts'

const SIGNALS: readonly NodeJS.Signals[] =
  process.platform === 'win32' ? ['SIGINT', 'SIGBREAK', 'SIGTERM'] : ['SIGINT', 'SIGTERM', 'SIGHUP']

/** How a shell reports a death by signal. */
const SIGNAL_EXIT: Readonly<Record<string, number>> = { SIGHUP: 129, SIGINT: 130, SIGBREAK: 130, SIGTERM: 143 }

/** A proxy that can be run until it is stopped. */
export interface Runnable {
  /** Where clients connect; undefined for a proxy on stdio. */
  readonly url?: string
  /** Resolves when it is over by itself. */
  readonly ended?: Promise<StdioEnd>
  close(options?: { readonly drainTimeout?: number }): Promise<void>
  /** Asked by SIGHUP, where the one who runs it says so; it stops all others. */
  reload?(): void
}

/**
 * Starts a proxy and runs it until a signal or, on stdio, the end of the conversation. The first signal lets calls in flight
 * finish; a second one ends at once. Sets the exit code: 0 clean end, 1 failure (with one line that says why).
 */
export async function runUntilStopped(
  log: Log,
  start: () => Promise<Runnable>,
  { reloads = false }: { readonly reloads?: boolean } = {}
): Promise<void> {
  let stop: (signal: NodeJS.Signals) => void = () => {}
  const stopped = new Promise<NodeJS.Signals>(resolve => {
    stop = resolve
  })
  let signals = 0
  let running: Runnable | undefined
  const onSignal = (signal: NodeJS.Signals): void => {
    // Before it runs there is nothing to read again: what it starts with is as new as it can be.
    if (signal === 'SIGHUP' && reloads) return running?.reload?.()
    // Children are ended by their exit hook and, should that fail, by the guardian.
    if (++signals > 1) endNow(SIGNAL_EXIT[signal] ?? 1)
    stop(signal)
  }
  for (const signal of SIGNALS) process.on(signal, onSignal)
  let faults = 0
  const onFault = (error: unknown): void => {
    process.exitCode = 1
    // The first one ends us. Were logging itself what fails, telling of it would fail again, without end.
    if (++faults > 1) return
    log.error('internal', `a fault in catflap: ${error instanceof Error ? error.stack : error}`)
    stop('SIGTERM')
  }
  process.on('uncaughtException', onFault)
  process.on('unhandledRejection', onFault)
  try {
    const proxy = await start()
    running = proxy
    const end = await Promise.race(proxy.ended ? [stopped, proxy.ended] : [stopped])
    // A client that closed our input and then sends SIGTERM waits for no answers, and kills soon.
    const unheard = proxy.url === undefined && process.stdin.readableEnded
    const closing = proxy.close(typeof end === 'string' && !unheard ? {} : { drainTimeout: 0 })
    // Told once it is so: whoever reads it may rely on nobody new coming in.
    if (typeof end === 'string') log.debug('stopping', `${end}: finishing what is in flight`)
    else if (end.why === 'server') serverEnded(log, end.error)
    await closing
  } catch (error) {
    log.error('failed', startFailure(error))
    process.exitCode = 1
  } finally {
    for (const signal of SIGNALS) process.off(signal, onSignal)
    process.off('uncaughtException', onFault)
    process.off('unhandledRejection', onFault)
    endIfStuck()
  }
}

/** A server may end the conversation by itself; only one that failed is a failure. */
function serverEnded(log: Log, error: Error & { data?: Readonly<Record<string, unknown>> }): void {
  if (error.data?.exitCode === 0) return log.info('ended', error.message)
  log.error('failed', error.message)
  process.exitCode = 1
}

function startFailure(error: unknown): string {
  const { code, message, address, port } = error as NodeJS.ErrnoException & { address?: string; port?: number }
  if (code === 'EADDRINUSE')
    return `cannot listen on ${address}:${port}: the port is taken. Choose another with --listen, or --listen 0 for any free one.`
  if (code === 'EACCES' && port !== undefined)
    return `cannot listen on ${address}:${port}: not allowed. Choose a port above 1023 with --listen.`
  if (code === 'EADDRNOTAVAIL') return `cannot listen on ${address}: this machine has no such address.`
  return message ?? String(error)
}
