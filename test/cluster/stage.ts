/** A group of instances with a server behind that counts what it runs. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { type StdioPeer, spawnPeer } from '../helpers/stdio-peer.ts'
import { type Group, openGroup } from './group.ts'
import { type Instance, until } from './instance.ts'
import { Ledger } from './ledger.ts'
import type { GroupOptions } from './settings.ts'

const PROGRAMS = fileURLToPath(new URL('./servers/', import.meta.url))
const program = (file: string, ledger: string): [string, ...string[]] => [
  process.execPath,
  '--no-warnings',
  path.join(PROGRAMS, file),
  ledger
]

/** Of instances, when nobody uses them any more. */
const ZERO = ['catflap_sessions', 'catflap_exchanges_active', 'catflap_streams', 'catflap_children']
/** Children have been told to end; so long that takes at most, in ms. */
const CHILDREN_END = 5_000

export interface StageOptions extends GroupOptions {
  /** What stands behind: a server with sessions of its own, or a command of which each session has a process. */
  readonly backend: 'http' | 'command'
}

export class Stage {
  readonly options: StageOptions
  readonly ledger: Ledger
  readonly #folder: string
  readonly #server: StdioPeer | undefined
  readonly #group: Group

  private constructor(
    options: StageOptions,
    folder: string,
    ledger: Ledger,
    server: StdioPeer | undefined,
    group: Group
  ) {
    this.options = options
    this.#folder = folder
    this.ledger = ledger
    this.#server = server
    this.#group = group
  }

  static async open(options: StageOptions): Promise<Stage> {
    const folder = mkdtempSync(path.join(tmpdir(), 'catflap-stage-'))
    const ledger = new Ledger(path.join(folder, 'ledger'))
    writeFileSync(ledger.file, '')
    let server: StdioPeer | undefined
    try {
      if (options.backend === 'http') server = spawnPeer(program('http.ts', ledger.file), { env: { NODE_OPTIONS: '' } })
      const behind = server ? await urlOf(server) : program('command.ts', ledger.file)
      return new Stage(options, folder, ledger, server, await openGroup(options, behind))
    } catch (error) {
      await server?.close()
      rmSync(folder, { recursive: true, force: true })
      throw error
    }
  }

  /** Where each request goes to the next instance. */
  get url(): string {
    return this.#group.url
  }

  get instances(): readonly Instance[] {
    return this.#group.instances
  }

  get storage(): Group['storage'] {
    return this.#group.storage
  }

  instance(i: number): Instance {
    return this.instances[i]!
  }

  /** The server over HTTP loses all its sessions, as if it were started anew. */
  async forget(): Promise<void> {
    const server = this.#server
    if (server === undefined) return
    const had = server.stdout.items.length
    server.send('forget\n')
    await server.stdout.until(line => line === 'forgotten' && server.stdout.items.length > had)
  }

  /**
   * Once clients are gone and what they left has expired: what is still there, in sentences. `ms`: how long it may take.
   */
  async settled(ms: number): Promise<string[]> {
    let left: string[] = []
    await until(ms, async () => {
      left = await this.#left()
      return left.length === 0
    })
    return left
  }

  /** What was wrong with the end. */
  async close(): Promise<string[]> {
    const faults = await this.#group.stop()
    if (!(await until(CHILDREN_END, () => this.ledger.liveChildren().length === 0))) {
      const children = this.ledger.liveChildren()
      faults.push(`${children.length} children outlive all instances`)
      for (const pid of children) process.kill(pid, 'SIGKILL')
    }
    await this.#server?.close()
    await this.#group.close()
    rmSync(this.#folder, { recursive: true, force: true })
    return faults
  }

  async #left(): Promise<string[]> {
    const left: string[] = []
    const sessions = (await this.storage?.sessions()) ?? 0
    if (sessions > 0) left.push(`${sessions} sessions in Redis`)
    const children = this.ledger.liveChildren().length
    if (children > 0) left.push(`${children} children`)
    for (const [i, instance] of this.instances.entries()) {
      const gauges = await instance.gauges()
      for (const name of ZERO) {
        const value = gauges.get(name) ?? 0
        if (value !== 0) left.push(`${name} of instance ${i} is ${value}`)
      }
    }
    return left
  }
}

async function urlOf(server: StdioPeer): Promise<string> {
  const line = await server.stdout.until(said => said.startsWith('listening '), { timeoutMs: 30_000 })
  return `http://127.0.0.1:${line.slice('listening '.length)}/mcp`
}
