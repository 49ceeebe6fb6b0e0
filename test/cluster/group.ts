/** Several catflap processes behind a round robin, with one Redis between them. */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { freePort } from '../../bench/peers/process.ts'
import { type Balancer, startBalancer } from './balancer.ts'
import { Instance } from './instance.ts'
import { configuration, type GroupOptions } from './settings.ts'
import { openStorage, type Storage } from './storage.ts'

export class Group {
  readonly instances: readonly Instance[]
  readonly storage: Storage | undefined
  readonly #balancer: Balancer
  readonly #folder: string

  constructor(parts: {
    readonly instances: readonly Instance[]
    readonly storage: Storage | undefined
    readonly balancer: Balancer
    readonly folder: string
  }) {
    this.instances = parts.instances
    this.storage = parts.storage
    this.#balancer = parts.balancer
    this.#folder = parts.folder
  }

  /** Where each request goes to the next instance. */
  get url(): string {
    return `${this.#balancer.url}/mcp`
  }

  /** Ends the instances. What was wrong with that, and what they have left in the store, in sentences. */
  async stop(): Promise<string[]> {
    const ends = await Promise.all(this.instances.map(instance => instance.stop()))
    return ends.filter(end => end !== undefined)
  }

  async close(): Promise<void> {
    await Promise.all(this.instances.map(instance => instance.kill()))
    await this.#balancer.close()
    await this.storage?.close()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

/** `behind`: the URL of a server, or the words of a command. */
export async function openGroup(options: GroupOptions, behind: string | readonly string[]): Promise<Group> {
  if (options.store === 'memory' && options.instances > 1)
    throw new Error('several instances cannot share the memory of one')
  const folder = mkdtempSync(path.join(tmpdir(), 'catflap-group-'))
  const undo: (() => unknown)[] = [() => rmSync(folder, { recursive: true, force: true })]
  try {
    const storage = options.store === 'memory' ? undefined : await openStorage(options.store)
    undo.push(() => storage?.close())
    const instances = await instancesIn(folder, options, behind, storage)
    undo.push(() => Promise.all(instances.map(instance => instance.kill())))
    await Promise.all(instances.map(instance => instance.start()))
    const balancer = await startBalancer(instances.map(({ port }) => port))
    return new Group({ instances, storage, balancer, folder })
  } catch (error) {
    for (const step of undo.reverse()) await step()
    throw error
  }
}

/** Each with a file of its own; the keys are the same. */
async function instancesIn(
  folder: string,
  options: GroupOptions,
  behind: string | readonly string[],
  storage: Storage | undefined
): Promise<Instance[]> {
  const keys = { storeKey: path.join(folder, 'store.key'), clusterKey: path.join(folder, 'cluster.key') }
  for (const file of Object.values(keys)) writeFileSync(file, `${randomBytes(32).toString('hex')}\n`, { mode: 0o600 })
  const instances: Instance[] = []
  for (let i = 0; i < options.instances; i++) {
    const places = { port: await freePort(), metrics: await freePort(), behind, redis: storage?.url, ...keys }
    const file = path.join(folder, `instance-${i}.json`)
    writeFileSync(file, JSON.stringify(configuration(options, places)))
    instances.push(new Instance(file, places.port, places.metrics))
  }
  return instances
}
