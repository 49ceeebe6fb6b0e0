/** Several catflap processes behind a round robin, with one Redis between them and a server behind that counts what it runs. */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePort } from '../../bench/peers/process.ts'
import { type StdioPeer, spawnPeer } from '../helpers/stdio-peer.ts'
import { type Balancer, startBalancer } from './balancer.ts'
import { Instance, until } from './instance.ts'
import { Ledger } from './ledger.ts'
import { configuration, type StageOptions } from './settings.ts'
import { openStorage, type Storage } from './storage.ts'

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

export class Stage {
  readonly options: StageOptions
  readonly instances: readonly Instance[]
  readonly ledger: Ledger
  readonly storage: Storage | undefined
  readonly #folder: string
  readonly #balancer: Balancer
  readonly #server: StdioPeer | undefined

  private constructor(parts: Parts) {
    this.options = parts.options
    this.instances = parts.instances
    this.ledger = parts.ledger
    this.storage = parts.storage
    this.#folder = parts.folder
    this.#balancer = parts.balancer
    this.#server = parts.server
  }

  static async open(options: StageOptions): Promise<Stage> {
    if (options.store === 'memory' && options.instances > 1)
      throw new Error('what several instances share is no memory')
    const undo: (() => unknown)[] = []
    try {
      return new Stage(await build(options, undo))
    } catch (error) {
      for (const step of undo.reverse()) await step()
      throw error
    }
  }

  /** Where each request goes to the next instance. */
  get url(): string {
    return `${this.#balancer.url}/mcp`
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
    const ends = await Promise.all(this.instances.map(instance => instance.stop()))
    const faults = ends.filter(end => end !== undefined)
    if (!(await until(CHILDREN_END, () => this.ledger.liveChildren().length === 0))) {
      const children = this.ledger.liveChildren()
      faults.push(`${children.length} children outlive all instances`)
      for (const pid of children) process.kill(pid, 'SIGKILL')
    }
    await this.#server?.close()
    await this.#balancer.close()
    await this.storage?.close()
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

interface Parts {
  readonly options: StageOptions
  readonly instances: readonly Instance[]
  readonly ledger: Ledger
  readonly storage: Storage | undefined
  readonly folder: string
  readonly balancer: Balancer
  readonly server: StdioPeer | undefined
}

/** What was started is noted in `undo`, for a start that fails half way. */
async function build(options: StageOptions, undo: (() => unknown)[]): Promise<Parts> {
  const folder = mkdtempSync(path.join(tmpdir(), 'catflap-stage-'))
  undo.push(() => rmSync(folder, { recursive: true, force: true }))
  const keys = { storeKey: path.join(folder, 'store.key'), clusterKey: path.join(folder, 'cluster.key') }
  for (const file of Object.values(keys)) writeFileSync(file, `${randomBytes(32).toString('hex')}\n`, { mode: 0o600 })
  const ledger = new Ledger(path.join(folder, 'ledger'))
  writeFileSync(ledger.file, '')
  const storage = options.store === 'memory' ? undefined : await openStorage(options.store)
  if (storage) undo.push(() => storage.close())
  const server = options.backend === 'http' ? spawnPeer(program('http.ts', ledger.file), plain) : undefined
  if (server) undo.push(() => server.close())
  const behind = server ? await urlOf(server) : program('command.ts', ledger.file)
  const instances: Instance[] = []
  for (let i = 0; i < options.instances; i++) {
    const places = { port: await freePort(), metrics: await freePort(), behind, redis: storage?.url, ...keys }
    const file = path.join(folder, `instance-${i}.json`)
    writeFileSync(file, JSON.stringify(configuration(options, places)))
    const instance = new Instance(file, places.port, places.metrics)
    undo.push(() => instance.kill())
    instances.push(instance)
  }
  await Promise.all(instances.map(instance => instance.start()))
  const balancer = await startBalancer(instances.map(({ port }) => port))
  return { options, instances, ledger, storage, folder, balancer, server }
}

const plain = { env: { NODE_OPTIONS: '' } }

async function urlOf(server: StdioPeer): Promise<string> {
  const line = await server.stdout.until(said => said.startsWith('listening '), { timeoutMs: 30_000 })
  return `http://127.0.0.1:${line.slice('listening '.length)}/mcp`
}
