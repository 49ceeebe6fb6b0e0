/** What a process and all it started have used, as Linux tells it. Elsewhere there is no answer. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'

/** A kernel may be built without this; then a tree would seem to be its root alone. */
const KNOWS_CHILDREN = existsSync(`/proc/self/task/${process.pid}/children`)

const TICK_MS = 10 // Linux reports in 1/100 s whatever its own clock does (proc(5), USER_HZ)

/** Processor time so far in ms, of the process and all its descendants, those that have ended by now too. */
export function cpuOf(pid: number): number | undefined {
  return sumOver(pid, p => {
    const stat = readFileSync(`/proc/${p}/stat`, 'utf8')
    // The name of the program stands in brackets and may hold anything. Fields 14 to 17 are utime and stime, and both of the
    // children that were waited for: else whoever starts a process a request would seem to do it for nothing.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) * TICK_MS
  })
}

/** Memory that is resident now, in bytes, of the process and its descendants. */
export function rssOf(pid: number): number | undefined {
  return sumOver(pid, p => {
    const rollup = readFileSync(`/proc/${p}/smaps_rollup`, 'utf8')
    return Number(/^Rss:\s+(\d+) kB$/m.exec(rollup)?.[1] ?? 0) * 1024
  })
}

function sumOver(pid: number, of: (pid: number) => number): number | undefined {
  if (!KNOWS_CHILDREN) return undefined
  let sum = 0
  for (const p of treeOf(pid)) {
    try {
      sum += of(p)
    } catch {
      // It ended between being found and being read.
    }
  }
  return sum
}

function treeOf(root: number): number[] {
  const tree = [root]
  for (const pid of tree) tree.push(...childrenOf(pid))
  return tree
}

function childrenOf(pid: number): number[] {
  try {
    const threads = readdirSync(`/proc/${pid}/task`)
    return threads.flatMap(thread =>
      readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').split(' ').filter(Boolean).map(Number)
    )
  } catch {
    return []
  }
}
