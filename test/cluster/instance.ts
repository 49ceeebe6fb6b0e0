/** One catflap process of a stage: killed, paused and started again at the same place. */
import { setTimeout as delay } from 'node:timers/promises'
import { type CatflapRun, runCatflap } from '../helpers/catflap.ts'

/** Of what it has to be ended after SIGTERM, its drain included, in ms. */
const STOP = 15_000
const START = 60_000

export class Instance {
  readonly port: number
  readonly #file: string
  readonly #metrics: number
  #run: CatflapRun | undefined
  #paused = false
  /** The last lines of those that ran before. */
  readonly #said: string[] = []

  constructor(file: string, port: number, metrics: number) {
    this.#file = file
    this.port = port
    this.#metrics = metrics
  }

  get runs(): boolean {
    return this.#run !== undefined && !this.#paused
  }

  get pid(): number | undefined {
    return this.#run?.pid
  }

  async start(): Promise<void> {
    // What the test runner has every Node process load would make each start slow.
    const run = runCatflap(['reverse', '--config', this.#file], { env: { NODE_OPTIONS: '' } })
    this.#run = run
    try {
      await run.events.until(event => event.event === 'listening', { timeoutMs: START })
    } catch (error) {
      await this.kill()
      throw new Error(`an instance does not start:\n${this.said().join('\n')}`, { cause: error })
    }
  }

  pause(): void {
    this.#paused = true
    this.#run?.proc.kill('SIGSTOP')
  }

  resume(): void {
    this.#paused = false
    this.#run?.proc.kill('SIGCONT')
  }

  async kill(): Promise<void> {
    const run = this.#take()
    await run?.kill9()
  }

  /** Says what was wrong with its end, if anything was. */
  async stop(): Promise<string | undefined> {
    this.resume()
    const run = this.#run
    if (run === undefined) return undefined
    try {
      const { code, signal } = await run.close(STOP)
      this.#take()
      return code === 0 ? undefined : `an instance ended with ${code ?? signal} after SIGTERM`
    } catch {
      this.#take()
      return `an instance did not end within ${STOP} ms after SIGTERM`
    }
  }

  /** Its lines on stderr, the last ones. */
  said(): string[] {
    return [...this.#said, ...(this.#run?.stderr.items.slice(-200) ?? [])]
  }

  /** The sums of gauges over their labels. */
  async gauges(): Promise<ReadonlyMap<string, number>> {
    const signal = AbortSignal.timeout(5_000)
    const text = await fetch(`http://127.0.0.1:${this.#metrics}/metrics`, { signal }).then(answer => answer.text())
    const sums = new Map<string, number>()
    for (const [, name, value] of text.matchAll(/^(\w+)(?:\{.*\})? (\S+)/gm)) {
      sums.set(name!, (sums.get(name!) ?? 0) + Number(value))
    }
    return sums
  }

  #take(): CatflapRun | undefined {
    const run = this.#run
    if (run !== undefined) {
      this.#said.push(...run.stderr.items.slice(-200), '–')
      this.#said.splice(0, this.#said.length - 400)
    }
    this.#run = undefined
    this.#paused = false
    return run
  }
}

/** What others come to by and by can only be asked. */
export async function until(ms: number, holds: () => Promise<boolean> | boolean): Promise<boolean> {
  const deadline = performance.now() + ms
  while (!(await holds())) {
    if (performance.now() > deadline) return false
    await delay(50)
  }
  return true
}
