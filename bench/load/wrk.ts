/** Saturation by wrk: so many connections, each of which asks again as soon as it is answered. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import { within } from '../owner.ts'
import { kill, owned, requiredProgram } from '../peers/process.ts'
import { postHead, SESSION_HEADER, type Template } from './messages.ts'

export interface WrkOptions {
  readonly url: string
  readonly connections: number
  readonly ms: number
  readonly headers: Readonly<Record<string, string>>
  /** Taken in turn. None: requests without a session. */
  readonly sessions: readonly string[]
  /** Taken in turn, each with an id of its own. */
  readonly messages: readonly Template[]
  /** Ids count from here; all have eight digits. */
  readonly firstId: number
  /** For the script that wrk reads. */
  readonly folder: string
}

export interface WrkResult {
  readonly requests: number
  /** Requests a second. */
  readonly rate: number
  /** Bytes a second, as they came in. */
  readonly bytes: number
  /**
   * Latencies under this load, in ms, as wrk reports them: it adds, for an answer that took more than twice as long as most,
   * those that would have waited meanwhile.
   */
  readonly p50: number
  readonly p99: number
  readonly p999: number
}

/** wrk looks that often whether it is to stop, in ms; shorter runs are not possible. */
const SHORTEST = 100

/** It is told to stop so often, in ms, until it has. */
const AGAIN = 1_000

const NOTHING: WrkResult = { requests: 0, rate: 0, bytes: 0, p50: 0, p99: 0, p999: 0 }

/** A slow peer, or a busy machine, may need that long for a single answer, in ms. */
const LONG_ENOUGH = 3_000

/**
 * Throws when wrk saw anything but answers of status 2xx or 3xx, or none any more. A run too short to tell (a busy machine) is made
 * again, longer.
 */
export async function saturate(options: WrkOptions): Promise<WrkResult> {
  const result = await runWrk(options)
  if (isBusy(result, options)) return result
  const long = { ...options, ms: Math.max(LONG_ENOUGH, options.ms) }
  const again = options.ms < long.ms ? await runWrk(long) : result
  return expectBusy(again, long)
}

/** The part of their time that connections have to have spent on answers that came. */
const BUSY = 0.05

type Load = Pick<WrkOptions, 'connections' | 'ms'>

/**
 * A connection asks again as soon as it is answered, so that latencies add up to the time of all connections. wrk notes no
 * latency of a request that is never answered: where much is missing, most connections have been waiting for nothing.
 */
function isBusy({ requests, p999 }: WrkResult, { connections, ms }: Load): boolean {
  return requests > 0 && (requests * p999 >= BUSY * connections * ms || p999 * 2 > ms)
}

export function expectBusy(result: WrkResult, load: Load): WrkResult {
  if (isBusy(result, load)) return result
  const { requests, p999 } = result
  if (requests === 0) throw new Error('wrk got no answer at all')
  const what = `${requests} answers in ${load.ms} ms on ${load.connections} connections, though each took less than ${p999} ms`
  throw new Error(`it stood still: ${what}`)
}

async function runWrk(options: WrkOptions): Promise<WrkResult> {
  const wrk = requiredProgram('wrk')
  const name = `load-${process.pid}-${serial++}`
  const script = path.join(options.folder, `${name}.lua`)
  const sessions = path.join(options.folder, `${name}.sessions`)
  await writeFile(sessions, options.sessions.join('\n'))
  await writeFile(script, luaScript(options, sessions))
  // Its -d knows whole seconds only; on SIGINT it stops and reports.
  const args = ['-t1', `-c${options.connections}`, '-d600s', '--timeout', '10s', '-s', script, options.url]
  const child = spawn(wrk, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  owned(child)
  let timer = setTimeout(
    function stop() {
      child.kill('SIGINT')
      // It may have been about to sleep, and then has noted it and sleeps on.
      timer = setTimeout(stop, AGAIN)
    },
    Math.max(SHORTEST, options.ms)
  )
  try {
    const outputs = Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
    const [stdout, stderr] = await within(options.ms + 30_000, 'wrk', outputs)
    // On a busy machine it may not even have begun.
    return child.signalCode === 'SIGINT' ? NOTHING : resultOf(stdout, stderr)
  } finally {
    clearTimeout(timer)
    kill(child)
  }
}

let serial = 0

function resultOf(stdout: string, stderr: string): WrkResult {
  const line = /^bench (.*)$/m.exec(stdout)?.[1]
  if (!line) throw new Error(`wrk printed no result: ${stdout}${stderr}`)
  const { requests, bytes, duration, p50, p99, p999, ...errors } = JSON.parse(line) as Record<string, number>
  if (Object.values(errors).some(n => n > 0)) throw new Error(`wrk saw errors: ${JSON.stringify(errors)}`)
  const seconds = duration! / 1e6
  const ms = (us: number | undefined): number => us! / 1000
  return {
    requests: requests!,
    rate: requests! / seconds,
    bytes: bytes! / seconds,
    p50: ms(p50),
    p99: ms(p99),
    p999: ms(p999)
  }
}

const ID_DIGITS = 8

function luaScript({ url, headers, messages, firstId }: WrkOptions, sessionsFile: string): string {
  const parts = messages.map(({ before, after }) => {
    const length = Buffer.byteLength(before) + ID_DIGITS + Buffer.byteLength(after)
    return `  { ${lua(`Content-Length: ${length}\r\n\r\n${before}`)}, ${lua(after)} }`
  })
  return `
local head = ${lua(postHead(url, headers))}
local messages = {
${parts.join(',\n')}
}
local heads = {}
for id in io.lines(${lua(sessionsFile)}) do heads[#heads + 1] = head .. '${SESSION_HEADER}: ' .. id .. '\\r\\n' end
if #heads == 0 then heads[1] = head end
local sessions, kinds, n, id = #heads, #messages, 0, ${firstId}
function request()
  n = n + 1
  id = id + 1
  local m = messages[n % kinds + 1]
  return heads[n % sessions + 1] .. m[1] .. id .. m[2]
end
function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    'bench {"requests":%d,"bytes":%d,"duration":%d,"p50":%d,"p99":%d,"p999":%d,"connect":%d,"read":%d,"write":%d,"timeout":%d,"status":%d}\\n',
    summary.requests, summary.bytes, summary.duration, latency:percentile(50), latency:percentile(99),
    latency:percentile(99.9), e.connect, e.read, e.write, e.timeout, e.status))
end
`
}

/** A string literal; what is no plain ASCII as bytes. */
function lua(value: string): string {
  const bytes = [...Buffer.from(value)]
  const plain = (b: number): boolean => b >= 0x20 && b < 0x7f && b !== 0x27 && b !== 0x5c
  return `'${bytes.map(b => (plain(b) ? String.fromCharCode(b) : `\\${String(b).padStart(3, '0')}`)).join('')}'`
}
