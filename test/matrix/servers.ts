/** A real server on each transport, as the matrix needs it: where it is, and whether anything of a client is left there. */
import { fileURLToPath } from 'node:url'
import type { TargetOptions } from '../../src/index.ts'
import { type HttpServer, startHttpServer } from '../fixtures/servers/http-server.ts'
import { type SseServer, startSseServer } from '../fixtures/servers/sse-server.ts'
import { Inbox } from '../helpers/wait.ts'
import type { Wire } from './matrix.ts'

export interface StagedServer {
  readonly target: TargetOptions
  /** The target as arguments of the command line. */
  readonly args: readonly string[]
  /** What a child says on stderr, put in by whoever reads that. */
  readonly stderr: Inbox<string>
  /** Resolves once nothing of its one client is left at the server: session, stream, process. */
  gone(): Promise<void>
  close(): Promise<void>
}

/** What the server speaks: the earlier revisions, 2026-07-28, or all. */
export type ServerEra = 'legacy' | 'modern' | 'dual'

export function stageServer(wire: Wire, era: ServerEra): Promise<StagedServer> {
  return { 'streamable-http': http, sse, stdio }[wire](era)
}

async function http(era: ServerEra): Promise<StagedServer> {
  const server = await startHttpServer({ mode: era === 'legacy' ? 'stateful' : era })
  return {
    ...at(server.url),
    async gone() {
      if (era === 'modern') return
      await left(server)
    },
    close: () => server.close()
  }
}

async function sse(): Promise<StagedServer> {
  const server = await startSseServer()
  return {
    ...at(server.url),
    async gone() {
      await left(server)
    },
    close: () => server.close()
  }
}

const CHILD = fileURLToPath(new URL('./child.ts', import.meta.url))

async function stdio(era: ServerEra): Promise<StagedServer> {
  const args = ['--no-warnings', CHILD, '--era', era]
  const stderr = new Inbox<string>('lines of the child')
  return {
    target: { command: process.execPath, args },
    args: ['--', process.execPath, ...args],
    stderr,
    async gone() {
      await stderr.until(line => line.includes('fixture ended'), { what: 'the child to end by itself' })
    },
    async close() {}
  }
}

function at(url: string) {
  return { target: { url }, args: [url], stderr: new Inbox<string>('nothing') }
}

type ServerState = Pick<HttpServer | SseServer, 'counters' | 'errors'> & {
  readonly sessions: { readonly size: number }
}

/** catflap may have looked at the server with a session of its own before. */
async function left({ counters, sessions, errors }: ServerState): Promise<void> {
  await counters.until('session.closed', Math.max(1, counters.count('session.opened')))
  if (sessions.size > 0) throw new Error(`${sessions.size} sessions are left at the server`)
  if (errors.length > 0) throw new Error(`the server complained: ${errors.map(String).join('; ')}`)
}
