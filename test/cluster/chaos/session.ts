/** One session of an SDK client, which looks closely at whatever reaches it. */
import {
  Client,
  isJSONRPCResponse,
  ProtocolError,
  SdkError,
  SdkErrorCode,
  StreamableHTTPClientTransport
} from '@modelcontextprotocol/client'
import { Agent } from 'undici'
import {
  ANSWER,
  BROKEN,
  CANCELLED,
  HUNG,
  losesSession,
  type Outcome,
  ofError,
  ofRefusal,
  type Refusal
} from './outcome.ts'
import { HANDSHAKE, type Watcher, watched } from './wire.ts'

export interface Asked {
  readonly tool: 'work' | 'ask' | 'say'
  readonly ms?: number
  readonly steps?: number
  /** The client changes its mind after so long. */
  readonly cancelAfter?: number
}

interface Call {
  readonly abort: AbortController
  refusal?: Refusal
  /** What it is to be taken for, though nothing was said. */
  verdict?: Outcome
}

/** What the end of a stream still has to say is said by then, in ms. */
const LAST_WORDS = 500

export class Session implements Watcher {
  readonly secret: string
  /** What must not have happened, in sentences. */
  readonly faults: string[] = []
  lost = false
  /** Calls whose message came, that belongs to no call of a client. */
  readonly heard = new Set<string>()
  readonly #patience: number
  readonly #agent = new Agent({ keepAliveTimeout: 1_000 })
  readonly #transport: StreamableHTTPClientTransport
  readonly #client: Client
  readonly #calls = new Map<string, Call>()
  readonly #asked = new Set<string>()
  readonly #answers = new Set<unknown>()
  readonly #told = new Set<string>()
  #serial = 0
  #streams = 0

  constructor(url: string, secret: string, patience: number) {
    this.secret = secret
    this.#patience = patience
    this.#client = new Client(
      { name: 'chaos', version: '1.0.0' },
      { capabilities: { elicitation: { form: {} } }, versionNegotiation: { mode: 'legacy' } }
    )
    this.#transport = new StreamableHTTPClientTransport(new URL(url), {
      fetch: watched(this.#agent, this),
      reconnectionOptions: {
        initialReconnectionDelay: 100,
        maxReconnectionDelay: 500,
        reconnectionDelayGrowFactor: 1.5,
        maxRetries: 1_000_000
      }
    })
    // What goes wrong out of band is seen on the wire.
    this.#client.onerror = () => {}
    this.#transport.onmessage = message => {
      if (isJSONRPCResponse(message)) this.#once(this.#answers, message.id, `answer ${message.id}`)
    }
    this.#client.setRequestHandler('elicitation/create', ({ params }) => {
      const { message } = params
      this.#own(message.split('/')[0], 'a question')
      this.#once(this.#asked, message, `the question ${message}`)
      return { action: 'accept', content: { echo: message } }
    })
    this.#client.setNotificationHandler('notifications/message', ({ params }) => this.#hear(params.data as Said))
  }

  get listens(): boolean {
    return this.#streams > 0
  }

  async begin(): Promise<Outcome> {
    const call: Call = { abort: new AbortController() }
    this.#calls.set(HANDSHAKE, call)
    try {
      await this.#client.connect(this.#transport, { timeout: this.#patience, signal: call.abort.signal })
      return ANSWER
    } catch (error) {
      return verdictOf(call, error)
    } finally {
      this.#calls.delete(HANDSHAKE)
    }
  }

  async call({ tool, ms, steps, cancelAfter }: Asked): Promise<{ readonly name: string; readonly outcome: Outcome }> {
    const name = `${this.secret}.${++this.#serial}`
    const call: Call = { abort: new AbortController() }
    this.#calls.set(name, call)
    const timer = cancelAfter === undefined ? undefined : setTimeout(() => this.#give(name, CANCELLED), cancelAfter)
    try {
      const outcome = await this.#request(name, call, { call: name, secret: this.secret, ms, steps }, tool)
      if (losesSession(outcome)) this.lost = true
      return { name, outcome }
    } finally {
      clearTimeout(timer)
      this.#calls.delete(name)
    }
  }

  async #request(name: string, call: Call, args: object, tool: string): Promise<Outcome> {
    let last = 0
    try {
      const result = await this.#client.callTool(
        { name: tool, arguments: { ...args } },
        {
          signal: call.abort.signal,
          timeout: this.#patience,
          onprogress: ({ progress, message }) => {
            if (message !== `${this.secret}/${name}`) this.faults.push(`call ${name} got progress of ${message}`)
            if (progress <= last) this.faults.push(`call ${name} got progress ${progress} after ${last}`)
            last = progress
          }
        }
      )
      const [content] = result.content as { text?: string }[]
      if (content?.text === `${this.secret}/${name}`) return ANSWER
      this.faults.push(`call ${name} got the answer ${JSON.stringify(result)}`)
      return { kind: 'unclear', what: 'another answer' }
    } catch (error) {
      return verdictOf(call, error)
    }
  }

  /** With DELETE; true: it was accepted. */
  async end(): Promise<boolean> {
    return this.#transport.terminateSession().then(
      () => true,
      () => false
    )
  }

  async leave(): Promise<void> {
    await this.#client.close()
    await this.#agent.destroy()
  }

  refused(name: string, refusal: Refusal): void {
    const call = this.#calls.get(name)
    if (call) call.refusal = refusal
  }

  answerRefused(name: string, refusal: Refusal | undefined): void {
    this.#give(name, refusal ? ofRefusal(refusal) : BROKEN)
  }

  ended(name: string): void {
    setTimeout(() => this.#give(name, BROKEN), LAST_WORDS)
  }

  listening(change: 1 | -1): void {
    this.#streams += change
  }

  /** Nothing more is expected of a call that was not answered yet. */
  #give(name: string, verdict: Outcome): void {
    const call = this.#calls.get(name)
    if (call === undefined) return
    call.verdict ??= verdict
    call.abort.abort()
  }

  #hear({ secret, call, place, n }: Said): void {
    this.#own(secret, 'a message')
    this.#once(this.#told, `${place} ${n}`, `message ${n}`)
    if (call !== undefined) this.heard.add(call)
  }

  #own(secret: string | undefined, what: string): void {
    if (secret !== this.secret) this.faults.push(`session ${this.secret} got ${what} of ${secret}`)
  }

  #once<T>(seen: Set<T>, key: T, what: string): void {
    if (seen.has(key)) this.faults.push(`session ${this.secret} got ${what} twice`)
    seen.add(key)
  }
}

interface Said {
  readonly secret?: string
  readonly call?: string
  readonly place?: string
  readonly n?: number
}

function verdictOf({ verdict, refusal }: Call, error: unknown): Outcome {
  return verdict ?? (refusal ? ofRefusal(refusal) : outcomeOf(error))
}

function outcomeOf(error: unknown): Outcome {
  if (error instanceof ProtocolError) return ofError(error.data, error.code)
  if (error instanceof SdkError && error.code === SdkErrorCode.RequestTimeout) return HUNG
  // What fetch says of a connection that was refused or has broken.
  if (error instanceof TypeError && /fetch failed|terminated/.test(error.message)) return BROKEN
  return { kind: 'unclear', what: String(error) }
}
