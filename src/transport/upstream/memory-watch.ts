import { readdir, readFile } from 'node:fs/promises'

/** How often it is looked, in ms. */
const EVERY = 1_000

interface Watched {
  readonly max: number
  readonly over: (bytes: number) => void
}

/**
 * Looks after the memory of children, each with all that it has started: of every process group the resident memory is added up
 * once a second. (The limits that the kernel has for a process count address space, of which some programs, Node's own engine
 * among them, reserve gigabytes that they never use; and they do not count what a process starts.) Linux only.
 */
class MemoryWatch {
  readonly #groups = new Map<number, Watched>()
  #timer: NodeJS.Timeout | undefined
  #looking = false

  /** `over` is told once, with the bytes that were found. */
  add(group: number, max: number, over: (bytes: number) => void): void {
    if (process.platform !== 'linux') return
    this.#groups.set(group, { max, over })
    this.#timer ??= setInterval(() => void this.#look(), EVERY).unref()
  }

  remove(group: number): void {
    this.#groups.delete(group)
    if (this.#groups.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  async #look(): Promise<void> {
    if (this.#looking) return
    this.#looking = true
    try {
      const groups = new Map<number, number>()
      for (const name of await readdir('/proc')) await this.#add(name, groups)
      for (const [group, bytes] of groups) {
        const watched = this.#groups.get(group)
        if (!watched || bytes <= watched.max) continue
        this.remove(group)
        watched.over(bytes)
      }
    } catch {
      // Without /proc nothing is known, and nothing is done.
    } finally {
      this.#looking = false
    }
  }

  async #add(name: string, groups: Map<number, number>): Promise<void> {
    if (!/^\d+$/.test(name)) return
    const stat = await readFile(`/proc/${name}/stat`, 'latin1').catch(() => '')
    // "pid (name) state ppid pgrp …"; the name may hold anything, even a parenthesis.
    const group = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[2])
    if (!this.#groups.has(group)) return
    const status = await readFile(`/proc/${name}/status`, 'latin1').catch(() => '')
    const kibibytes = Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0)
    groups.set(group, (groups.get(group) ?? 0) + kibibytes * 1024)
  }
}

export const memoryWatch = new MemoryWatch()
