import { setFlagsFromString } from 'node:v8'

/** V8 says so on stderr where it does not know a flag: these versions of it (Node.js 20 to 24) have those that are set here. */
const KNOWN = [11, 13] as const

/**
 * For work that streams: little is alive at any time, however much passes. Left alone, V8 gives new objects up to 48 MB of room and
 * lets tens of MB of old garbage pile up, and all that is gained by it is a process twice as large. To be called before the work
 * begins. False where nothing was done: this version of V8 may have other flags.
 */
export function keepHeapSmall(v8 = process.versions.v8): boolean {
  const major = Number.parseInt(v8, 10)
  if (!(major >= KNOWN[0] && major <= KNOWN[1])) return false
  setFlagsFromString('--semi-space-growth-factor=1')
  setFlagsFromString('--heap-growing-percent=50')
  return true
}
