/**
 * Nothing may be left after a test: no socket, server, pipe, process or timer that was not there before, no child of any
 * depth, no rejection or exception that nobody handled. Call `trackLeaks(t)` first in a test: tap runs teardowns last to
 * first, so that the check comes after everything the test itself tears down.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as pause, setImmediate as turn } from 'node:timers/promises'
import type { Test } from 'tap'

/** Every child inherits this, however deep: what carries it and lives has outlived its test. */
const MARK = `TEST_OF_CATFLAP_MARK=${process.pid}-${process.hrtime.bigint()}`
process.env.TEST_OF_CATFLAP_MARK = MARK.slice(MARK.indexOf('=') + 1)

const TURNS = 100
const SETTLE_MS = 2_000
/** Come and go with the work at hand; a leak shows as what they belong to. */
const TRANSIENT = new Set(['Immediate', 'TickObject', 'CloseReq', 'FSReqCallback', 'FSReqPromise', 'TTYWrap'])

const watched = new Set<number>()
const failures: Error[] = []
process.on('uncaughtExceptionMonitor', error => void failures.push(error))
process.on('warning', warning => {
  if (warning.name === 'MaxListenersExceededWarning') failures.push(warning)
})

export interface Snapshot {
  readonly resources: ReadonlyMap<string, number>
  readonly pids: ReadonlySet<number>
  readonly failures: number
}

/** Has the check cover a process that was not started by a helper (a pid some child reported). */
export function watchProcess(pid: number): void {
  watched.add(pid)
}

export function snapshot(): Snapshot {
  return { resources: countResources(), pids: new Set(livePids()), failures: failures.length }
}

/** Fails the test if, after its teardown, something is left that was not there at this call. */
export function trackLeaks(t: Test): void {
  const before = snapshot()
  t.teardown(() => assertNothingLeft(before))
}

/** Throws, listing what is there beyond `before`, once everything had the time to settle. */
export async function assertNothingLeft(before: Snapshot): Promise<void> {
  let left = leftSince(before)
  for (let i = 0; i < TURNS && left.length > 0; i++) {
    await turn()
    left = leftSince(before)
  }
  // Kernel and child processes need time rather than turns.
  const deadline = performance.now() + SETTLE_MS
  while (left.length > 0 && performance.now() < deadline) {
    await pause(5)
    left = leftSince(before)
  }
  const unhandled = failures.slice(before.failures).map(error => `unhandled: ${error.stack ?? error.message}`)
  if (left.length + unhandled.length > 0) throw new Error(`left behind:\n  ${[...left, ...unhandled].join('\n  ')}`)
}

function leftSince(before: Snapshot): string[] {
  const left: string[] = []
  for (const [kind, count] of countResources()) {
    const more = count - (before.resources.get(kind) ?? 0)
    if (more > 0) left.push(`${more} × ${kind}`)
  }
  for (const pid of livePids()) if (!before.pids.has(pid)) left.push(`process ${pid}: ${commandOf(pid)}`)
  return left
}

function countResources(): Map<string, number> {
  const counts = new Map<string, number>()
  for (const kind of process.getActiveResourcesInfo()) {
    if (!TRANSIENT.has(kind)) counts.set(kind, (counts.get(kind) ?? 0) + 1)
  }
  return counts
}

function livePids(): number[] {
  for (const pid of watched) if (!isAlive(pid)) watched.delete(pid)
  return [...new Set([...watched, ...markedPids()])]
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return process.platform !== 'linux' || !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

/** Linux only; elsewhere the processes that helpers started are all that is known. */
function markedPids(): number[] {
  if (process.platform !== 'linux') return []
  const pids = readdirSync('/proc').filter(name => /^\d+$/.test(name))
  return pids.map(Number).filter(pid => pid !== process.pid && environmentOf(pid).includes(MARK) && isAlive(pid))
}

function environmentOf(pid: number): string {
  return readProc(pid, 'environ')
}

function commandOf(pid: number): string {
  return readProc(pid, 'cmdline').replaceAll('\0', ' ')
}

function readProc(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8')
  } catch {
    return ''
  }
}
