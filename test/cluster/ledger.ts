/** What servers noted of the calls they ran, read from outside. */
import { readFileSync } from 'node:fs'
import type { Entry } from './servers/counted-tools.ts'

export class Ledger {
  readonly file: string

  constructor(file: string) {
    this.file = file
  }

  entries(): Entry[] {
    return readFileSync(this.file, 'utf8')
      .split('\n')
      .filter(line => line !== '')
      .map(line => JSON.parse(line) as Entry)
  }

  /** The processes that were started to run calls. */
  children(): number[] {
    return this.entries().flatMap(entry => (entry.kind === 'child' ? [entry.pid] : []))
  }

  liveChildren(): number[] {
    return this.children().filter(pid => isOurs(pid, this.file))
  }
}

/** What must never have happened, in sentences. */
export function faultsOf(entries: readonly Entry[]): string[] {
  const faults: string[] = []
  const ran = new Map<string, number>()
  const places = new Map<string, string[]>()
  for (const entry of entries) {
    if (entry.kind === 'crossed') faults.push(`${entry.what} with ${entry.secret} reached another session's server`)
    if (entry.kind !== 'run') continue
    const times = (ran.get(entry.call) ?? 0) + 1
    ran.set(entry.call, times)
    if (times > 1) faults.push(`call ${entry.call} ran ${times} times`)
    faults.push(...moved(places, entry))
  }
  return faults
}

/** Where a session has gone on in another place, the former one runs nothing of it any more. */
function moved(places: Map<string, string[]>, { call, secret, place }: Entry & { kind: 'run' }): string[] {
  const been = places.get(secret) ?? []
  if (been.at(-1) === place) return []
  places.set(secret, [...been, place])
  return been.includes(place) ? [`call ${call} ran where its session was before it had moved on`] : []
}

/** A pid may be another program's by now. */
function isOurs(pid: number, file: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(file)
  } catch {
    return false
  }
}
