/** How long what was begun may take to finish once all is closed, in ms. */
const PATIENCE = 1_000

/**
 * Ends this process now. process.exit waits for the threads that work on files, and one that waits for a dead disk or an
 * unread FIFO never comes back: then only a signal that cannot be caught helps. Exit hooks, which end children, run in any case.
 */
export function endNow(code: number): void {
  if (isOnDisk()) {
    process.emit('exit', code)
    process.kill(process.pid, 'SIGKILL')
  }
  process.exit(code)
}

/** All is closed; should a file still keep the process, it is given up. */
export function endIfStuck(): void {
  setTimeout(() => isOnDisk() && endNow(Number(process.exitCode ?? 0)), PATIENCE).unref()
}

function isOnDisk(): boolean {
  return process.getActiveResourcesInfo().some(name => name.startsWith('FSReq') || name === 'FileHandleCloseReq')
}
