/** An instance that holds sessions of a command, and another one that hands over to it. */
import type { Test } from 'tap'
import type { CatflapError } from '../../src/errors.ts'
import { Message } from '../../src/protocol/message.ts'
import type { Interceptor, Outcome } from '../../src/proxy/interceptor.ts'
import { settings } from '../../src/proxy/options.ts'
import { PeerListener, type PeerRoute } from '../../src/proxy/peer-listener.ts'
import { openRoute } from '../../src/proxy/route.ts'
import { endpoint } from '../../src/proxy/serve-http.ts'
import { ssePaths } from '../../src/proxy/serve-sse.ts'
import { Redactor } from '../../src/tape/redact.ts'
import { HttpServer } from '../../src/transport/downstream/http-server.ts'
import { clusterKeys } from '../../src/transport/psk.ts'
import { Peers, type PeersOptions, type PeerTo } from '../../src/transport/upstream/peer.ts'
import type { CallInput, CallReceiver, ExchangeKind, ReplyHead, UpstreamCall } from '../../src/transport/upstream.ts'
import { rawPost } from '../helpers/raw-client.ts'
import { initialize, legacyHeaders } from '../helpers/rpc.ts'
import { fixtureArgv } from '../helpers/stdio-peer.ts'
import { Inbox, within } from '../helpers/wait.ts'
import { LogInbox } from '../integration/pipe-door.ts'

export const KEY = 'a key of the cluster that is long enough'
export const OTHER_KEY = 'a key of another cluster, as long as it'
export const OWNER = 'owner-1'

export interface OwnerOptions {
  readonly keys?: readonly string[]
  readonly settings?: Parameters<typeof settings>[0]
  readonly before?: PeerRoute['before']
  readonly instance?: () => string
  readonly interceptors?: readonly Interceptor[]
}

export interface Owner {
  readonly listener: PeerListener
  /** `HOST:PORT` for other instances. */
  readonly address: string
  /** For clients. */
  readonly url: string
  readonly core: PeerRoute['core']
  readonly log: LogInbox
  /** What became of exchanges. */
  readonly outcomes: Inbox<Outcome>
  close(): Promise<void>
}

export async function openOwner(options: OwnerOptions = {}): Promise<Owner> {
  const log = new LogInbox('lines of the log')
  const chosen = settings({ killAfter: 500, ...options.settings })
  const outcomes = new Inbox<Outcome>('outcomes')
  const told: Interceptor = { name: 'told', end: (_x, outcome) => outcomes.push(outcome) }
  const [command, ...args] = fixtureArgv('puppet-stdio.ts')
  const route = await openRoute({
    target: { command, args },
    settings: chosen,
    host: '127.0.0.1',
    via: undefined,
    redactor: new Redactor({ redactHeaders: [], redactJson: [], secrets: [] }),
    interceptors: [told, ...(options.interceptors ?? [])],
    log
  })
  const { core } = route
  const door = endpoint(core, { path: '/mcp', sse: ssePaths('/mcp'), via: undefined })
  const server = new HttpServer({ ...chosen, host: '127.0.0.1', port: 0 }, door)
  const { port } = await server.listen()
  const listener = new PeerListener({
    host: '127.0.0.1',
    port: 0,
    keys: clusterKeys(options.keys ?? [KEY]),
    settings: chosen,
    log,
    instance: options.instance ?? (() => OWNER),
    route: name => (name === 'main' ? { core, pipes: core, before: options.before } : undefined)
  })
  const { address, port: peers } = await listener.listen()
  return {
    listener,
    address: `${address}:${peers}`,
    url: `http://127.0.0.1:${port}/mcp`,
    core,
    log,
    outcomes,
    async close() {
      listener.stopAccepting()
      core.cancelAll('shutdown')
      await core.sessions.close()
      await listener.close()
      await server.close()
      for (const [, close] of route.closing) await close()
    }
  }
}

export async function owner(t: Test, options: OwnerOptions = {}): Promise<Owner> {
  const made = await openOwner(options)
  t.teardown(() => made.close())
  return made
}

/** A session that the owner holds, made by a client of its own. */
export async function session(url: string): Promise<string> {
  const answer = await rawPost(url, initialize())
  const id = answer.headers['mcp-session-id']
  if (typeof id !== 'string') throw new Error(`no session: ${answer.status} ${answer.text}`)
  return id
}

export function peers(t: Test, options: Partial<PeersOptions> & { readonly key?: string } = {}): Peers {
  const { key = KEY, ...rest } = options
  const made = new Peers({
    keys: clusterKeys([key]),
    connectTimeout: 5_000,
    maxPending: 1_000,
    from: () => 'from-1',
    ...rest
  })
  t.teardown(() => made.close())
  return made
}

export function to(sessionId: string, more: Partial<PeerTo> = {}): PeerTo {
  return { route: 'main', instance: OWNER, session: sessionId, principal: 'anonymous', ...more }
}

export interface Said {
  readonly kind?: ExchangeKind
  readonly body?: object | string
  readonly headers?: readonly string[]
  readonly query?: string
}

/** What a client's exchange asks of its leg. */
export function input({ kind, body, headers = [], query }: Said): CallInput {
  const bytes = body === undefined ? undefined : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body))
  const message = bytes && Message.parse(bytes)
  const usual = bytes ? legacyHeaders() : { accept: 'text/event-stream', 'mcp-protocol-version': '2025-11-25' }
  return {
    kind: kind ?? (message ? (message.kind === 'request' ? 'request' : 'notify') : 'listen'),
    era: 'legacy',
    message,
    batch: undefined,
    body: bytes,
    query,
    headers: [...Object.entries(usual).flat(), ...headers]
  }
}

/** Hears a call. */
export class Heard implements CallReceiver {
  readonly chunks = new Inbox<string>('chunks of an answer')
  readonly head: Promise<ReplyHead>
  call: UpstreamCall | undefined
  text = ''
  bytes = 0
  #head!: (head: ReplyHead) => void
  #over!: (how: 'end' | CatflapError) => void
  readonly #ending: Promise<'end' | CatflapError>
  #isOver = false

  constructor() {
    this.head = new Promise(resolve => void (this.#head = resolve))
    this.#ending = new Promise(resolve => void (this.#over = resolve))
  }

  /** `end`, or what went wrong. */
  get over(): Promise<'end' | CatflapError> {
    return within(this.#ending, { what: 'the end of a call', timeoutMs: 30_000 })
  }

  get isOver(): boolean {
    return this.#isOver
  }

  onHead(head: ReplyHead): void {
    this.#head(head)
  }

  onData(chunk: Buffer): void {
    this.bytes += chunk.length
    if (this.bytes < 10_000_000) this.text += chunk
    this.chunks.push(chunk.toString())
  }

  onMessage(): void {
    throw new Error('over HTTP there are no messages')
  }

  onEnd(): void {
    this.#ended('end')
  }

  onError(error: CatflapError): void {
    this.#ended(error)
  }

  /** Until all that has come holds this. */
  async until(text: string): Promise<void> {
    if (!this.text.includes(text)) await this.chunks.until(() => this.text.includes(text), { timeoutMs: 20_000 })
  }

  /** The code of what went wrong, or `end`. */
  async outcome(): Promise<string> {
    const how = await this.over
    return how === 'end' ? how : how.code
  }

  #ended(how: 'end' | CatflapError): void {
    if (this.#isOver) throw new Error('told twice')
    this.#isOver = true
    this.#over(how)
  }
}

export function ask(made: Peers, address: string, whom: PeerTo, said: Said): Heard {
  const heard = new Heard()
  heard.call = made.leg(address, whom).call(input(said), heard)
  return heard
}

/** A JSON-RPC request that the puppet obeys. */
export function order(id: number | string, params: object = {}): object {
  return { jsonrpc: '2.0', id, method: 'tools/call', params }
}

/** A notification of the server's, as the puppet writes it. */
export function notice(n: number | string, size = 0): string {
  const params = { level: 'info', data: `note ${n} ${'x'.repeat(size)}` }
  return `${JSON.stringify({ jsonrpc: '2.0', method: 'notifications/message', params })}\n`
}
