/**
 * Load at a fixed rate whatever the answers do: each request has a moment at which it should be sent, and its latency counts
 * from there, also if no connection was free then. (A client that waits for an answer before it asks again leaves out just
 * those requests that would have had to wait.) A process of its own, so that nothing else takes its turns.
 *
 * Reads one OpenLoopOptions as JSON from stdin, prints one OpenLoopResult.
 */
import { text } from 'node:stream/consumers'
import { Connection } from './connection.ts'
import { Histogram } from './histogram.ts'
import type { OpenLoopOptions, OpenLoopResult } from './open-loop.ts'

/** How long answers may still come after the last request, in ms. */
const PATIENCE = 5_000
/**
 * Timers are exact to about this many ms; what is due sooner is waited for in the event loop, which keeps a core busy: late
 * requests would be worse.
 */
const COARSE = 2

const options = JSON.parse(await text(process.stdin)) as OpenLoopOptions
const expected = Buffer.from(options.expected)
const latencies = new Histogram()
/** By how much requests were sent later than they should have been, for reasons of ours. */
const lags = new Histogram()
const free: Connection[] = []
/** Moments of requests that no connection was free for. */
const waiting: number[] = []
let connections = 0
let sent = 0
let ended = 0
let wrong = 0
let firstWrong: string | undefined
let waitingFrom = 0
let finished = false

const planned = Math.max(1, Math.floor((options.rate * (options.warm + options.ms)) / 1000))
const startedAt = performance.now() + 5

function answered(intended: number, connection: Connection, problem: string | undefined, latency: number): void {
  ended++
  if (intended >= startedAt + options.warm) latencies.add(latency)
  if (problem !== undefined) {
    wrong++
    firstWrong ??= problem
  }
  free.push(connection)
  if (waitingFrom < waiting.length) due(waiting[waitingFrom++]!)
  if (ended === planned) finish()
}

function request(intended: number, connection: Connection): void {
  const chunks: Buffer[] = []
  let length = 0
  let status = 0
  let first = -1
  connection.send(
    options.request,
    {
      onHead: s => void (status = s),
      onBody: chunk => {
        if (first < 0) first = performance.now() - intended
        chunks.push(chunk)
        length += chunk.length
      },
      onEnd: () => {
        const latency = options.until === 'first' && first >= 0 ? first : performance.now() - intended
        const right =
          status === 200 &&
          length === expected.length &&
          (chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)).equals(expected)
        answered(
          intended,
          connection,
          right ? undefined : `status ${status}, ${length} bytes that are not the server's`,
          latency
        )
      }
    },
    error => answered(intended, connection, error.message, performance.now() - intended)
  )
}

function due(intended: number): void {
  const connection = free.pop()
  if (connection) request(intended, connection)
  else if (connections < options.connections) {
    connections++
    request(intended, new Connection(options.url))
  } else waiting.push(intended)
}

function tick(): void {
  const now = performance.now()
  while (sent < planned) {
    const intended = startedAt + (sent * 1000) / options.rate
    if (intended > now) {
      if (intended - now > COARSE) setTimeout(tick, intended - now - COARSE)
      else setImmediate(tick)
      return
    }
    sent++
    if (intended >= startedAt + options.warm) lags.add(now - intended)
    due(intended)
  }
  setTimeout(finish, PATIENCE)
}

/** Whoever has no answer by now has waited at least so long. */
function finish(): void {
  if (finished) return
  finished = true
  const missing = planned - ended
  for (let i = 0; i < missing; i++) latencies.add(performance.now() - startedAt - options.warm - options.ms)
  const result: OpenLoopResult = {
    planned,
    missing,
    wrong,
    firstWrong,
    p50: latencies.percentile(50),
    p99: latencies.percentile(99),
    p999: latencies.percentile(99.9),
    max: latencies.max,
    lag: lags.percentile(99),
    seconds: (performance.now() - startedAt) / 1000
  }
  process.stdout.write(JSON.stringify(result), () => process.exit(0))
}

tick()
