/**
 * `npm run demo`: a real server (the official reference server), a real client (the official SDK), catflap between them, once
 * over HTTP and once over stdio. Then it shows what catflap recorded. Everything it starts ends with it.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio'
import { converse } from './demo-client.ts'

const CATFLAP = [
  process.execPath,
  '--no-warnings',
  fileURLToPath(new URL('../bin/catflap.ts', import.meta.url))
] as const
/** Another server that speaks both transports can take its place. */
const SERVER =
  process.env.CATFLAP_DEMO_SERVER ??
  fileURLToPath(import.meta.resolve('@modelcontextprotocol/server-everything/dist/index.js'))

const START_TIMEOUT = 20_000
/** Ends each thing that was started and has not ended. */
const running = new Set<() => Promise<void>>()
const tapes = mkdtempSync(path.join(tmpdir(), 'catflap-demo-'))

async function main(): Promise<void> {
  const interrupted = new Promise<never>((_, reject) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const)
      process.once(signal, () => reject(new Interrupted(signal === 'SIGINT' ? 130 : 143)))
  })
  try {
    await Promise.race([demo(), interrupted])
  } catch (error) {
    if (error instanceof Interrupted) process.exitCode = error.exitCode
    else {
      process.stderr.write(`\nThe demo failed: ${error instanceof Error ? error.message : String(error)}\n`)
      process.exitCode = 1
    }
  } finally {
    await Promise.all([...running].map(end => end()))
  }
  // A conversation that was broken off still waits for its answer.
  if (process.exitCode) process.exit()
}

class Interrupted extends Error {
  readonly exitCode: number
  constructor(exitCode: number) {
    super('interrupted')
    this.exitCode = exitCode
  }
}

async function demo(): Promise<void> {
  const http = await overHttp()
  const stdio = await overStdio()
  for (const tape of [http, stdio]) {
    say(`\nWhat catflap recorded (catflap tape show ${path.basename(tape)}):\n`)
    await run('tape', 'show', tape)
  }
  const catflap = 'npx node bin/catflap.ts'
  say(`
The two tapes lie in ${tapes}
What to type next:

  # only the tool calls and their answers
  ${catflap} tape show ${http} --method 'tools/*'
  # what the server asked the client
  ${catflap} tape show ${http} --method 'sampling/*'
  # as JSON lines, for other programs
  ${catflap} tape show ${stdio} --json
  # the same server for a client of your own, recorded
  ${catflap} forward --record -- npx -y @modelcontextprotocol/server-everything
`)
}

async function overHttp(): Promise<string> {
  say('1. Over HTTP: client → catflap → server')
  const server = await startServer()
  say(`   The reference server listens on ${server.url}.`)
  const tape = path.join(tapes, 'http.tape.jsonl')
  const catflap = start([...CATFLAP, 'forward', '--listen', '0', '--record', tape, '--log-format', 'json', server.url])
  const ready = await lineOf(catflap, 'catflap', line => line.includes('"event":"listening"'))
  const { url } = JSON.parse(ready) as { url: string }
  say(`   catflap listens on ${url} and records.`)
  const transport = new StreamableHTTPClientTransport(new URL(url))
  await converse(transport, say)
  await end(catflap)
  await end(server.process)
  return tape
}

async function overStdio(): Promise<string> {
  say('\n2. Over stdio: the client starts catflap as its command, and catflap starts the server')
  const tape = path.join(tapes, 'stdio.tape.jsonl')
  const [command, ...entry] = CATFLAP
  const args = [...entry, 'forward', '--stdio', '--record', tape, '--', process.execPath, SERVER, 'stdio']
  const transport = new StdioClientTransport({ command, args, env: inherited(), stderr: 'inherit' })
  const close = () => transport.close()
  running.add(close)
  say('   command: catflap forward --stdio --record … -- node server-everything stdio')
  await converse(transport, say)
  await close()
  running.delete(close)
  return tape
}

/** The server takes a port from the environment, so a free one is looked for; another process may be quicker, hence the loop. */
async function startServer(): Promise<{ url: string; process: ChildProcess }> {
  for (let attempt = 1; ; attempt++) {
    const port = await freePort()
    const server = start([process.execPath, SERVER, 'streamableHttp'], { PORT: String(port) })
    try {
      await lineOf(server, 'the server', line => line.includes(`listening on port ${port}`))
      return { url: `http://127.0.0.1:${port}/mcp`, process: server }
    } catch (error) {
      await end(server)
      if (attempt === 3) throw error
    }
  }
}

async function freePort(): Promise<number> {
  const probe = createServer()
  probe.listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as { port: number }
  probe.close()
  await once(probe, 'close')
  return port
}

function start([command, ...args]: readonly [string, ...string[]], env: Record<string, string> = {}): ChildProcess {
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, ...env } })
  return owned(child)
}

function owned(child: ChildProcess): ChildProcess {
  const close = () => end(child)
  running.add(close)
  child.once('close', () => running.delete(close))
  return child
}

/** The first line on stderr that `wants` accepts; fails with what was said when the process ends or takes too long. */
async function lineOf(child: ChildProcess, name: string, wants: (line: string) => boolean): Promise<string> {
  const said: string[] = []
  const found = Promise.withResolvers<string>()
  const timer = setTimeout(() => found.reject(new Error(`${name} did not start in time`)), START_TIMEOUT)
  createInterface({ input: child.stderr! }).on('line', line => {
    if (said.length < 20) said.push(line)
    if (wants(line)) found.resolve(line)
  })
  child.once('error', error => found.reject(new Error(`${name} could not be started: ${error.message}`)))
  child.once('close', code => found.reject(new Error(`${name} ended with code ${code}: ${said.join('\n')}`)))
  try {
    return await found.promise
  } finally {
    clearTimeout(timer)
  }
}

/** A catflap command that shares our terminal. */
async function run(...args: string[]): Promise<void> {
  const [command, ...entry] = CATFLAP
  const child = owned(spawn(command, [...entry, ...args], { stdio: ['ignore', 'inherit', 'inherit'] }))
  const [code] = (await once(child, 'close')) as [number | null]
  if (code !== 0) throw new Error(`catflap ${args.slice(0, 2).join(' ')} ended with code ${code}`)
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return
  const closed = once(child, 'close')
  child.kill('SIGTERM')
  const late = Symbol('late')
  if ((await Promise.race([closed, pause(10_000, late, { ref: false })])) === late) child.kill('SIGKILL')
  await closed
}

function inherited(): Record<string, string> {
  return Object.fromEntries(Object.entries(process.env).filter((e): e is [string, string] => e[1] !== undefined))
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}

await main()
