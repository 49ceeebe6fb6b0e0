import { Audit } from '../admin/audit.ts'
import type { Configuration } from '../config/build.ts'
import { type Problem, problemText } from '../config/problems.ts'
import { type ReadResult, readConfigFile } from '../config/read.ts'
import type { Log } from '../log.ts'
import { printable } from '../printable.ts'
import type { Reloaded } from '../proxy/reverse.ts'
import { Follower } from './follow.ts'
import { lineWriter } from './line-writer.ts'

/** The configuration file that a process runs by, and what becomes of it meanwhile. */
export class ConfigFile {
  readonly #path: string
  #files: readonly string[] = []
  #readAt = 0

  constructor(path: string) {
    this.#path = path
  }

  /** Says on stderr what is wrong, and sets the exit code, where there is nothing to start with. */
  async readFirst(): Promise<Configuration | undefined> {
    const read = await this.#read()
    const print = lineWriter(process.stderr)
    for (const problem of read.problems) print(`catflap: ${textOf(problem)}\n`)
    if (read.left > 0) print(`catflap: … and ${read.left} more\n`)
    if (!read.configuration) process.exitCode = 1
    return read.configuration
  }

  /** Has the file read again when it changes, or one of those that it names, or when it is asked for. */
  follow(log: Log, apply: (configuration: Configuration) => Promise<Reloaded>): Following {
    const following: Following = new Following(log, {
      files: () => this.#files,
      readAt: () => this.#readAt,
      again: async () => {
        const read = await this.#read()
        if (!read.configuration) throw new Refused(read)
        return await apply(read.configuration)
      }
    })
    return following
  }

  async #read(): Promise<ReadResult> {
    this.#readAt = Date.now()
    const read = await readConfigFile(this.#path)
    this.#files = read.files
    return read
  }
}

interface Source {
  files(): readonly string[]
  /** Epoch ms at which reading them began. */
  readAt(): number
  again(): Promise<Reloaded>
}

/** One reading at a time; what changes meanwhile is read once more. */
export class Following {
  readonly #log: Log
  readonly #source: Source
  readonly #follower: Follower
  #reading: Promise<void> | undefined
  #stale = false
  #closed = false

  constructor(log: Log, source: Source) {
    this.#log = log
    this.#source = source
    this.#follower = new Follower(() => this.again())
    this.#follower.follow(source.files(), source.readAt())
  }

  again(): void {
    this.#stale = true
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined
    })
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#follower.close()
    await this.#reading
  }

  async #read(): Promise<void> {
    while (this.#stale && !this.#closed) {
      this.#stale = false
      try {
        await this.#source.again()
        this.#log.info('config-read', 'the configuration was read again, and holds from now on')
      } catch (error) {
        const problems =
          error instanceof Refused ? error.problems : [error instanceof Error ? error.message : String(error)]
        new Audit(this.#log).configRefused(problems)
      }
      if (!this.#closed) this.#follower.follow(this.#source.files(), this.#source.readAt())
    }
  }
}

/** A file that cannot be used. */
class Refused extends Error {
  readonly problems: readonly string[]

  constructor({ problems }: ReadResult) {
    super('the configuration cannot be used')
    this.problems = problems.map(textOf)
  }
}

function textOf(problem: Problem): string {
  return printable(problemText(problem))
}
