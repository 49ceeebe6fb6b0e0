/** Real MCP clients (the official SDK), with everything they receive collected and awaitable. */
import type { PassThrough } from 'node:stream'
import {
  Client,
  type ClientCapabilities,
  type CreateMessageRequest,
  type CreateMessageResult,
  type ElicitRequest,
  type ElicitResult,
  type FetchLike,
  isJSONRPCNotification,
  type JSONRPCMessage,
  type JSONRPCNotification,
  type ListRootsResult,
  SSEClientTransport,
  StreamableHTTPClientTransport,
  type StreamableHTTPClientTransportOptions,
  type Transport
} from '@modelcontextprotocol/client'
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio'
import { Agent, fetch as undiciFetch } from 'undici'
import { watchProcess } from './leaks.ts'
import { MODERN_VERSION } from './rpc.ts'
import { readLines } from './stdio-peer.ts'
import { Inbox, type WaitOptions } from './wait.ts'

type MaybePromise<T> = T | Promise<T>

/** How the client answers the server; what is absent is not offered as a capability. */
export interface ClientHandlers {
  readonly sampling?: (params: CreateMessageRequest['params']) => MaybePromise<CreateMessageResult>
  readonly elicitation?: (params: ElicitRequest['params']) => MaybePromise<ElicitResult>
  readonly roots?: () => MaybePromise<ListRootsResult>
}

export interface ClientOptions {
  /** `legacy` (default): initialize. `modern`: pinned to 2026-07-28. `auto`: server/discover first, then as answered. */
  readonly era?: 'legacy' | 'modern' | 'auto'
  /** The only revision the client speaks; default: all that the SDK knows. */
  readonly version?: string
  /** Default: what `handlers` can answer. */
  readonly capabilities?: ClientCapabilities
  readonly handlers?: ClientHandlers
}

export interface HttpClientOptions extends ClientOptions {
  readonly headers?: Readonly<Record<string, string>>
  /** How it connects: authorities, protocols. */
  readonly agent?: Agent.Options
  readonly reconnection?: StreamableHTTPClientTransportOptions['reconnectionOptions']
}

export interface StdioClientOptions extends ClientOptions {
  readonly command?: string
  readonly args: readonly string[]
  /** Added to this process's own environment. */
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
}

/** One HTTP request of the client and the head of its answer. */
export interface HttpFact {
  readonly method: string
  readonly headers: Headers
  readonly body: string | undefined
  /** Undefined where no answer came. */
  readonly status: number | undefined
  readonly responseHeaders: Headers | undefined
}

export interface TestClient<T extends Transport = Transport> {
  readonly client: Client
  readonly transport: T
  /** Every message received, in order: responses, server requests, notifications. */
  readonly messages: Inbox<JSONRPCMessage>
  readonly notifications: Inbox<JSONRPCNotification>
  /** Errors reported out of band. */
  readonly errors: readonly Error[]
  /** The first notification of that method (or that `wants` accepts), past or to come. */
  until(wants: string | ((n: JSONRPCNotification) => boolean), options?: WaitOptions): Promise<JSONRPCNotification>
  close(): Promise<void>
}

export interface HttpTestClient extends TestClient<StreamableHTTPClientTransport> {
  /** What went over HTTP, in the order of the answers' heads. */
  readonly http: Inbox<HttpFact>
  /** Legacy: once the GET stream was answered. `connect` does not wait for it, and a server drops what comes before. */
  listening(): Promise<HttpFact>
  /** Ends the session with DELETE, which `close` does not. */
  terminate(): Promise<void>
}

/** On HTTP+SSE there is one stream, and the session ends with it. */
export interface SseTestClient extends TestClient<SSEClientTransport> {
  /** What went over HTTP, in the order of the answers' heads. */
  readonly http: Inbox<HttpFact>
}

export interface StdioTestClient extends TestClient<StdioClientTransport> {
  readonly pid: number
  readonly stderr: Inbox<string>
}

/** Agreeable answers, for tests to which the answer does not matter. */
export const HANDLERS: Required<ClientHandlers> = {
  sampling: () => ({ role: 'assistant', content: { type: 'text', text: 'sampled' }, model: 'fixture-model' }),
  elicitation: () => ({ action: 'accept', content: { colour: 'blue' } }),
  roots: () => ({ roots: [{ uri: 'file:///fixture', name: 'fixture' }] })
}

export async function connectHttp(url: string | URL, options: HttpClientOptions = {}): Promise<HttpTestClient> {
  const agent = new Agent({ keepAliveTimeout: 1_000, connections: 64, ...options.agent })
  const http = new Inbox<HttpFact>('HTTP answers')
  const transport = new StreamableHTTPClientTransport(new URL(url), {
    fetch: recordingFetch(agent, http),
    requestInit: { headers: { ...options.headers } },
    reconnectionOptions: options.reconnection
  })
  const client = await connect(transport, options).catch(async error => {
    await agent.destroy()
    throw error
  })
  return {
    ...client,
    transport,
    http,
    listening: () => http.until(({ method }) => method === 'GET', { what: 'the answer to GET' }),
    terminate: () => transport.terminateSession(),
    async close() {
      await client.close()
      await agent.destroy()
    }
  }
}

/** The old transport, HTTP+SSE: `url` is where the stream is opened. */
export async function connectSse(
  url: string | URL,
  options: Omit<HttpClientOptions, 'reconnection'> = {}
): Promise<SseTestClient> {
  const agent = new Agent({ keepAliveTimeout: 1_000, connections: 64 })
  const http = new Inbox<HttpFact>('HTTP answers')
  const transport = new SSEClientTransport(new URL(url), {
    fetch: recordingFetch(agent, http),
    requestInit: { headers: { ...options.headers } }
  })
  const client = await connect(transport, options).catch(async error => {
    await agent.destroy()
    throw error
  })
  return {
    ...client,
    transport,
    http,
    async close() {
      await client.close()
      await agent.destroy()
    }
  }
}

export async function connectStdio(options: StdioClientOptions): Promise<StdioTestClient> {
  const { command = process.execPath, args, env, cwd } = options
  const inherited = Object.entries({ ...process.env, ...env }).filter(([, value]) => value !== undefined)
  const transport = new StdioClientTransport({
    command,
    args: [...args],
    cwd,
    env: Object.fromEntries(inherited) as Record<string, string>,
    stderr: 'pipe'
  })
  const stderr = new Inbox<string>(`lines on stderr of ${args.join(' ')}`)
  readLines(transport.stderr as PassThrough, stderr)
  const connected = await connect(transport, options).catch(error => {
    throw new Error(`could not connect to ${args.join(' ')}; stderr: ${stderr.items.join('\n')}`, { cause: error })
  })
  const pid = transport.pid ?? -1
  watchProcess(pid)
  return { ...connected, transport, pid, stderr }
}

async function connect<T extends Transport>(transport: T, options: ClientOptions): Promise<TestClient<T>> {
  const { era = 'legacy', handlers = {} } = options
  const messages = new Inbox<JSONRPCMessage>('messages')
  const notifications = new Inbox<JSONRPCNotification>('notifications')
  const errors: Error[] = []
  const client = new Client(
    { name: 'catflap-test-client', version: '1.0.0' },
    {
      capabilities: options.capabilities ?? capabilitiesOf(handlers),
      ...(options.version !== undefined && { supportedProtocolVersions: [options.version] }),
      versionNegotiation: { mode: era === 'modern' ? { pin: MODERN_VERSION } : era }
    }
  )
  client.onerror = error => void errors.push(error)
  handle(client, handlers)
  // Protocol.connect calls what was set before it, then dispatches.
  transport.onmessage = message => {
    messages.push(message)
    if (isJSONRPCNotification(message)) notifications.push(message)
  }
  try {
    await client.connect(transport)
  } catch (error) {
    await client.close()
    throw error
  }
  return {
    client,
    transport,
    messages,
    notifications,
    errors,
    until: (wants, wait) => notifications.until(typeof wants === 'string' ? n => n.method === wants : wants, wait),
    close: () => client.close()
  }
}

function handle(client: Client, { sampling, elicitation, roots }: ClientHandlers): void {
  if (sampling) client.setRequestHandler('sampling/createMessage', request => sampling(request.params))
  if (elicitation) client.setRequestHandler('elicitation/create', request => elicitation(request.params))
  if (roots) client.setRequestHandler('roots/list', () => roots())
}

function capabilitiesOf({ sampling, elicitation, roots }: ClientHandlers): ClientCapabilities {
  return {
    ...(sampling && { sampling: {} }),
    ...(elicitation && { elicitation: { form: {} } }),
    ...(roots && { roots: { listChanged: true } })
  }
}

/** The SDK would use the global pool, whose idle sockets outlive the client; this one has an owner. */
function recordingFetch(dispatcher: Agent, facts: Inbox<HttpFact>): FetchLike {
  return async (url, init) => {
    const body = typeof init?.body === 'string' ? init.body : undefined
    const fact = { method: init?.method ?? 'GET', headers: new Headers(init?.headers), body }
    try {
      const options = { ...init, dispatcher } as Parameters<typeof undiciFetch>[1]
      const response = (await undiciFetch(url, options)) as unknown as Response
      facts.push({ ...fact, status: response.status, responseHeaders: response.headers })
      return response
    } catch (error) {
      facts.push({ ...fact, status: undefined, responseHeaders: undefined })
      throw error
    }
  }
}
