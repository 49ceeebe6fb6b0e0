import { spawn } from 'node:child_process'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import { within } from '../owner.ts'
import { kill, owned, plainEnvironment } from '../peers/process.ts'

export interface OpenLoopOptions {
  readonly url: string
  /** The whole request, head and body. */
  readonly request: string
  /** The whole body of the answer; each is compared. */
  readonly expected: string
  /** Requests a second. */
  readonly rate: number
  readonly ms: number
  /** What comes before that, in ms: the generator's own code gets warm. Compared, but not counted. */
  readonly warm: number
  /** At most so many connections. */
  readonly connections: number
  /** Where a latency ends: with the first bytes of the body, or with all. */
  readonly until: 'first' | 'end'
}

export interface OpenLoopResult {
  readonly planned: number
  /** Had no answer in the end. They count with the time they had waited by then. */
  readonly missing: number
  readonly wrong: number
  readonly firstWrong?: string
  /** Latencies from the moment the request should have been sent, in ms. */
  readonly p50: number
  readonly p99: number
  readonly p999: number
  readonly max: number
  /**
   * How late the generator itself was in 99 % of the cases, in ms: what is not due to the peer, though it counts in its latency. A
   * generator that does not keep up is later and later, so that this tells it.
   */
  readonly lag: number
  readonly seconds: number
}

/** Throws at the first answer that is not what it should be. */
export async function openLoop(options: OpenLoopOptions): Promise<OpenLoopResult> {
  const program = path.join(import.meta.dirname, 'open-loop-child.ts')
  const child = spawn(process.execPath, ['--no-warnings', program], {
    stdio: ['pipe', 'pipe', 'inherit'],
    detached: true,
    env: plainEnvironment()
  })
  owned(child)
  try {
    child.stdin.end(JSON.stringify(options))
    const said = await within(options.warm + options.ms + 30_000, 'load at a fixed rate', text(child.stdout))
    if (said === '') throw new Error('the load generator ended without a result')
    const result = JSON.parse(said) as OpenLoopResult
    if (result.wrong > 0)
      throw new Error(`${result.wrong} of ${result.planned} answers were wrong: ${result.firstWrong}`)
    return result
  } finally {
    kill(child)
  }
}
