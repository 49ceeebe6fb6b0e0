/** Load by wrk: a session is opened and tried first, then its `tools/call` is repeated on so many connections. */
import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { CALL, INITIALIZE, RESULT } from './nginx.ts'

export interface LoadOptions {
  readonly url: string
  readonly session: string
  readonly connections: number
  readonly seconds: number
  /** For the script that wrk reads. */
  readonly folder: string
}

export interface Load {
  readonly requests: number
  readonly seconds: number
  /** Requests a second. */
  readonly rate: number
  /** Latencies under this load, in ms. */
  readonly p50: number
  readonly p99: number
}

const HEADERS = {
  'Content-Type': 'application/json',
  Accept: 'application/json, text/event-stream',
  'MCP-Protocol-Version': '2025-06-18'
}

/** The session's id. Throws unless the peer hands out one and relays the result byte for byte. */
export async function openSession(url: string): Promise<string> {
  const opened = await fetch(url, { method: 'POST', headers: HEADERS, body: INITIALIZE })
  const session = opened.headers.get('mcp-session-id')
  await opened.arrayBuffer()
  if (opened.status !== 200 || !session) throw new Error(`initialize: status ${opened.status}, session ${session}`)
  const called = await fetch(url, { method: 'POST', headers: { ...HEADERS, 'Mcp-Session-Id': session }, body: CALL })
  const text = await called.text()
  if (called.status !== 200 || text !== RESULT) throw new Error(`tools/call: status ${called.status}, ${text}`)
  return session
}

/** Throws when wrk saw anything but answers of status 2xx or 3xx. */
export async function runLoad({ url, session, connections, seconds, folder }: LoadOptions): Promise<Load> {
  const script = path.join(folder, 'call.lua')
  await writeFile(script, luaScript(session))
  const args = ['-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '5s', '-s', script, url]
  const { stdout } = await promisify(execFile)('wrk', args, { timeout: (seconds + 30) * 1000 })
  const line = /^bench (.*)$/m.exec(stdout)?.[1]
  if (!line) throw new Error(`wrk printed no result:\n${stdout}`)
  const { requests, duration, p50, p99, ...errors } = JSON.parse(line) as Record<string, number>
  if (Object.values(errors).some(n => n > 0)) throw new Error(`wrk saw errors: ${JSON.stringify(errors)}`)
  if (!requests || !duration) throw new Error('wrk got no answer at all')
  return { requests, seconds: duration / 1e6, rate: requests / (duration / 1e6), p50: p50! / 1000, p99: p99! / 1000 }
}

function luaScript(session: string): string {
  const headers = Object.entries({ ...HEADERS, 'Mcp-Session-Id': session })
  return `
wrk.method = 'POST'
wrk.body = [[${CALL}]]
${headers.map(([name, value]) => `wrk.headers['${name}'] = '${value}'`).join('\n')}
function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    'bench {"requests":%d,"duration":%d,"p50":%d,"p99":%d,"connect":%d,"read":%d,"write":%d,"timeout":%d,"status":%d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect, e.read, e.write, e.timeout, e.status))
end
`
}
