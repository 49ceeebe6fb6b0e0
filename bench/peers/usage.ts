/** What a process and all it started have used, as Linux tells it. Elsewhere there is no answer. */
import { readdirSync, readFileSync } from 'node:fs'

const TICK_MS = 10 // Linux reports in 1/100 s whatever its own clock does (proc(5), USER_HZ)

/** Processor time so far in ms, of the process and its living descendants. */
export function cpuOf(pid: number): number | undefined {
  return sumOver(pid, p => {
    const stat = readFileSync(`/proc/${p}/stat`, 'utf8')
    // The name of the program stands in brackets and may hold anything; utime and stime are fields 14 and 15.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return (Number(fields[11]) + Number(fields[12])) * TICK_MS
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
  if (process.platform !== 'linux') return undefined
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
