/**
 * What it costs that another instance holds a session: calls a second to a command, handed over between two processes, beside the same calls straight
 * to the process that holds it.
 *
 *   node bench/handover.ts [CALLS AT ONCE]
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { SILENT } from '../src/log.ts'
import { Message } from '../src/protocol/message.ts'
import { settings } from '../src/proxy/options.ts'
import { PeerListener } from '../src/proxy/peer-listener.ts'
import { openRoute } from '../src/proxy/route.ts'
import { endpoint } from '../src/proxy/serve-http.ts'
import { ssePaths } from '../src/proxy/serve-sse.ts'
import { Redactor } from '../src/tape/redact.ts'
import { HttpServer } from '../src/transport/downstream/http-server.ts'
import { clusterKeys } from '../src/transport/psk.ts'
import { HttpUpstream } from '../src/transport/upstream/http.ts'
import { Peers } from '../src/transport/upstream/peer.ts'
import type { CallInput, Leg, ReplyHead } from '../src/transport/upstream.ts'

const KEYS = clusterKeys(['a key that only this benchmark has, so that all may read it'])
const OWNER = 'owner'
const SERVER = fileURLToPath(new URL('servers/stdio.ts', import.meta.url))
/** Seconds of each measurement; what comes first is not counted. */
const SECONDS = 5
const WARM_UP = 2
const ROUNDS = 3
const HEADERS = ['Content-Type', 'application/json', 'Accept', 'application/json, text/event-stream']
const INITIALIZE =
  '{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"0"}}}'
const CALL = '{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"weather","arguments":{"city":"Kyiv"}}}'

if (process.argv[2] === 'owner') await own()
else await measure(Number(process.argv[2] ?? 32))

/** The process that holds the session. Ends with its stdin. */
async function own(): Promise<void> {
  const chosen = settings()
  const route = await openRoute({
    target: { command: process.execPath, args: ['--no-warnings', SERVER] },
    settings: chosen,
    host: '127.0.0.1',
    via: undefined,
    redactor: new Redactor({ redactHeaders: [], redactJson: [], secrets: [] }),
    log: SILENT
  })
  const { core } = route
  const listen = { host: '127.0.0.1', port: 0 }
  const door = endpoint(core, { path: '/mcp', sse: ssePaths('/mcp'), via: undefined })
  const server = new HttpServer({ ...chosen, ...listen }, door)
  const own = { ...listen, keys: KEYS, settings: chosen, log: SILENT }
  const listener = new PeerListener({ ...own, instance: () => OWNER, route: () => ({ core, pipes: core }) })
  const [straight, handed] = [await server.listen(), await listener.listen()]
  process.stdout.write(`${JSON.stringify({ straight: straight.port, handed: handed.port })}\n`)
  await once(process.stdin.resume(), 'end')
  await core.sessions.close()
  await listener.close()
  await server.close()
  for (const [, close] of route.closing) await close()
  process.exit(0)
}

async function measure(atOnce: number): Promise<void> {
  const owner = spawn(process.execPath, ['--no-warnings', fileURLToPath(import.meta.url), 'owner'], {
    stdio: ['pipe', 'pipe', 'inherit']
  })
  const [line] = (await once(createInterface({ input: owner.stdout }), 'line')) as [string]
  const ports = JSON.parse(line) as { straight: number; handed: number }
  const pool = { connections: 256, connectTimeout: 5_000, headersTimeout: 0, keepAliveTimeout: 4_000, env: {} }
  const upstream = new HttpUpstream(new URL(`http://127.0.0.1:${ports.straight}/mcp`), {
    ...pool,
    headers: [],
    maxPending: 1_000,
    closeTimeout: 1_000
  })
  const peers = new Peers({ keys: KEYS, connectTimeout: 5_000, maxPending: 1_000, from: () => 'bench' })
  const { head } = await call(upstream.sessionless, INITIALIZE)
  const session = head.headers[head.headers.findIndex(name => name.toLowerCase() === 'mcp-session-id') + 1]!
  const to = { route: 'main', instance: OWNER, session, principal: 'anonymous' }
  const ways: [string, Leg][] = [
    ['straight', upstream.sessionLeg(session)],
    ['handed over', peers.leg(`127.0.0.1:${ports.handed}`, to)]
  ]
  for (let round = 0; round < ROUNDS; round++)
    for (const [name, leg] of ways) {
      await run(leg, atOnce, WARM_UP)
      const before = processorTimes(owner.pid!)
      const { rate, median } = await run(leg, atOnce, SECONDS)
      const [asking, asked] = processorTimes(owner.pid!).map((time, i) => (time - before[i]!) / (rate * SECONDS))
      const cost = `processor time a call ${asking!.toFixed(0)} µs here, ${asked!.toFixed(0)} µs at the owner`
      const speed = `${Math.round(rate)} calls/s, median ${median.toFixed(2)} ms, ${atOnce} at once`
      process.stdout.write(`${name}: ${speed}; ${cost}\n`)
    }
  await peers.close()
  await upstream.close()
  owner.stdin.end()
  await once(owner, 'exit')
}

async function run(leg: Leg, atOnce: number, seconds: number): Promise<{ rate: number; median: number }> {
  const begun = performance.now()
  const times: number[] = []
  const one = async (): Promise<void> => {
    for (let at = begun; at < begun + seconds * 1000; ) {
      const { head, bytes } = await call(leg, CALL)
      if (head.status !== 200 || bytes === 0) throw new Error(`status ${head.status}`)
      const now = performance.now()
      times.push(now - at)
      at = now
    }
  }
  await Promise.all(Array.from({ length: atOnce }, one))
  const took = (performance.now() - begun) / 1000
  return { rate: times.length / took, median: times.sort((a, b) => a - b)[times.length >> 1] ?? 0 }
}

/** Of this process and of the other one, in µs; Linux alone tells of others. */
function processorTimes(other: number): [here: number, there: number] {
  const { user, system } = process.cpuUsage()
  let there = Number.NaN
  if (process.platform === 'linux') {
    const fields = readFileSync(`/proc/${other}/stat`, 'utf8').split(') ')[1]!.split(' ')
    there = (Number(fields[11]) + Number(fields[12])) * 10_000
  }
  return [user + system, there]
}

function call(leg: Leg, text: string): Promise<{ head: ReplyHead; bytes: number }> {
  const body = Buffer.from(text)
  const input: CallInput = {
    kind: 'request',
    era: 'legacy',
    message: Message.parse(body),
    batch: undefined,
    body,
    headers: HEADERS
  }
  return new Promise((resolve, reject) => {
    let head: ReplyHead | undefined
    let bytes = 0
    leg.call(input, {
      onHead: h => void (head = h),
      onData: chunk => void (bytes += chunk.length),
      onMessage() {},
      onEnd: () => resolve({ head: head!, bytes }),
      onError: reject
    })
  })
}
