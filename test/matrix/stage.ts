/** A client and a server of one cell, with or without catflap between them. */
import { fileURLToPath } from 'node:url'
import { createForward, type Forward } from '../../src/index.ts'
import {
  type ClientHandlers,
  type ClientOptions,
  connectHttp,
  connectSse,
  connectStdio,
  type HttpTestClient,
  type SseTestClient,
  type StdioTestClient,
  type TestClient
} from '../helpers/clients.ts'
import { LogInbox } from '../integration/pipe-door.ts'
import type { Wire } from './matrix.ts'
import { FEATURES, isModern, type Revision } from './revisions.ts'
import { happened } from './say.ts'
import type { StagedServer } from './servers.ts'

export interface StagedClient {
  readonly c: TestClient
  listening(): Promise<void>
  /** Ends as a well-behaved client does. */
  end(): Promise<void>
}

/** Where a client connects to; stdio: what it starts. */
export type Place =
  | { readonly url: string }
  | { readonly args: readonly string[]; readonly stderr: (line: string) => void }

export interface Pairing {
  readonly client: Wire
  readonly server: Wire
  readonly revision: Revision
}

const ENTRY = fileURLToPath(new URL('../../bin/catflap.ts', import.meta.url))
/** Only at its loudest does the log hold what a child says on stderr. */
const CATFLAP = ['--no-warnings', ENTRY, 'forward', '--stdio', '--log-level', 'debug']

/** What the door in front of a server is for its client; `door` is undefined where the client starts catflap itself. */
export async function stageDoor(client: Wire, server: StagedServer): Promise<{ place: Place; door?: Forward }> {
  const stderr = (line: string) => server.stderr.push(line)
  if (client === 'stdio') return { place: { args: [...CATFLAP, ...server.args], stderr } }
  const log = new LogInbox('lines of the log')
  const push = log.push.bind(log)
  log.push = line => {
    push(line)
    if (line.event === 'stderr') stderr(line.text)
  }
  const door = await createForward({ target: server.target, log })
  const url = door.url ?? ''
  return { door, place: { url: client === 'sse' ? new URL('/sse', url).href : url } }
}

/** The place of the server itself, for a client on the same transport. */
export function directly({ target, args, stderr }: StagedServer): Place {
  return 'url' in target ? { url: target.url } : { args: args.slice(2), stderr: line => stderr.push(line) }
}

export async function stageClient({ client, server, revision }: Pairing, place: Place): Promise<StagedClient> {
  const modern = isModern(revision)
  const handlers = handlersFor(revision)
  const c = await connectAt(client, place, modern ? { era: 'modern', handlers } : { version: revision, handlers })
  return {
    c,
    async listening() {
      if ('listening' in c) await c.listening()
      // A server over HTTP drops what it has to say until there is a stream for it.
      if (server === 'streamable-http' && !modern) await happened(c, 'http GET')
    },
    async end() {
      if ('terminate' in c && !modern) await c.terminate()
      await c.close()
    }
  }
}

export async function connectAt(
  wire: Wire,
  place: Place,
  options: ClientOptions
): Promise<HttpTestClient | SseTestClient | StdioTestClient> {
  if ('url' in place) return wire === 'sse' ? connectSse(place.url, options) : connectHttp(place.url, options)
  const c = await connectStdio({ ...options, args: place.args })
  tee(c.stderr, place.stderr)
  return c
}

/** Answers by which a test sees what was asked. */
function handlersFor(revision: Revision): ClientHandlers {
  return {
    roots: () => ({ roots: [{ uri: 'file:///fixture', name: 'fixture' }] }),
    sampling({ messages }) {
      const [asked] = messages.flatMap(message => message.content)
      const text = `sampled: ${asked?.type === 'text' ? asked.text : ''}`
      return { role: 'assistant', content: { type: 'text', text }, model: 'fixture-model' }
    },
    ...(FEATURES[revision].elicitation && {
      elicitation: ({ message }) => ({ action: 'accept' as const, content: { colour: message } })
    })
  }
}

function tee(from: { readonly items: readonly string[]; push(line: string): void }, to: (line: string) => void): void {
  for (const line of from.items) to(line)
  const push = from.push.bind(from)
  from.push = line => {
    push(line)
    to(line)
  }
}
