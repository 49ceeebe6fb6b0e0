/**
 * Conversations out of a script: a server over HTTP that does what the script says of each request's id, and a client on a pipe that goes
 * through it round by round. Played twice (recorded, then replayed), both have to tell the same.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { PassThrough } from 'node:stream'
import { createForward, type Forward, type ForwardOptions } from '../../src/index.ts'
import { within } from '../helpers/wait.ts'

export type Happening =
  | { readonly kind: 'progress' | 'log' | 'change'; readonly text: string }
  /** A question to the client, which the server waits for. */
  | { readonly kind: 'sampling' | 'elicitation' | 'roots'; readonly text: string }

export interface ScriptedRequest {
  readonly method: string
  readonly params: Readonly<Record<string, unknown>>
  readonly happens: readonly Happening[]
  readonly ends: 'result' | 'isError' | 'error' | 'cancelled'
  readonly text: string
  /** What the server says of the session at large, behind the answer. */
  readonly after: readonly string[]
}

/** Those of one round are asked at once, and the next round when all have come to their end. */
export interface Script {
  readonly era: 'legacy' | 'modern'
  readonly rounds: readonly (readonly ScriptedRequest[])[]
}

/** A message; params are of whatever the script says. */
interface Json {
  readonly id?: number | string
  readonly method?: string
  readonly params?: { readonly [name: string]: unknown }
  readonly result?: unknown
  readonly error?: unknown
}

/** What the client was told: of each request in its order, and all of it in the order in which it came. */
export interface Told {
  readonly requests: readonly (readonly unknown[])[]
  readonly all: readonly unknown[]
}

const META = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientCapabilities': {},
  'io.modelcontextprotocol/clientInfo': { name: 'scripted', version: '1' },
  'io.modelcontextprotocol/logLevel': 'debug'
}
const CAPABILITIES = { sampling: {}, elicitation: {}, roots: {} }
const QUESTIONS = {
  sampling: 'sampling/createMessage',
  elicitation: 'elicitation/create',
  roots: 'roots/list'
} as const
const LIMIT = 15_000

/** Ids count from 1 through all rounds. */
function byId({ rounds }: Script): ReadonlyMap<number, ScriptedRequest> {
  return new Map(rounds.flat().map((one, i) => [i + 1, one]))
}

export async function startScripted(script: Script): Promise<{ url: string; close(): Promise<void> }> {
  const plan = byId(script)
  const answers = new Map<string, () => void>()
  const cancelled = new Map<number, () => void>()
  let listening: ServerResponse | undefined
  let asked = 0
  const obey = async (message: Json, response: ServerResponse): Promise<void> => {
    const one = plan.get(Number(message.id))!
    const json = !one.happens.length && one.ends !== 'cancelled' && Number(message.id) % 2 === 0
    response.writeHead(200, { 'Content-Type': json ? 'application/json' : 'text/event-stream' })
    const say = (told: object): void => {
      const text = JSON.stringify({ jsonrpc: '2.0', ...told })
      response.write(json ? text : `data: ${text}\n\n`)
    }
    for (const { kind, text } of one.happens) {
      if (kind === 'progress')
        say({
          method: 'notifications/progress',
          params: { progressToken: `t${message.id}`, progress: 1, message: text }
        })
      else if (kind === 'log') say({ method: 'notifications/message', params: { level: 'info', data: text } })
      else if (kind === 'change') say({ method: `notifications/${text}/list_changed` })
      else {
        const id = `ask-${++asked}`
        const answered = new Promise<void>(resolve => answers.set(id, resolve))
        say({ id, method: QUESTIONS[kind], params: { text } })
        await answered
      }
    }
    if (one.ends === 'cancelled') {
      await new Promise<void>(resolve => {
        cancelled.set(Number(message.id), resolve)
        response.once('close', resolve)
      })
      return void response.end()
    }
    const content = [{ type: 'text', text: one.text }]
    if (one.ends === 'error') say({ id: message.id, error: { code: -31_999, message: one.text } })
    else say({ id: message.id, result: { content, ...(one.ends === 'isError' && { isError: true }) } })
    response.end()
    for (const text of one.after)
      listening?.write(`data: {"jsonrpc":"2.0","method":"notifications/${text}/list_changed"}\n\n`)
  }
  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    if (request.method === 'GET') {
      listening = response
      response.writeHead(200, { 'Content-Type': 'text/event-stream' })
      return response.flushHeaders()
    }
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const message = JSON.parse(Buffer.concat(chunks).toString() || '{}') as Json
    if (message.method === 'initialize') {
      const result = { protocolVersion: '2025-11-25', capabilities: {}, serverInfo: { name: 's', version: '1' } }
      response.writeHead(200, { 'Content-Type': 'application/json', 'Mcp-Session-Id': 's' })
      return void response.end(JSON.stringify({ jsonrpc: '2.0', id: message.id, result }))
    }
    if (message.id !== undefined && message.method !== undefined) return await obey(message, response)
    if (message.method === 'notifications/cancelled') cancelled.get(Number(message.params?.requestId))?.()
    else if (message.method === undefined) answers.get(String(message.id))?.()
    response.writeHead(202).end()
  }
  const server = createServer((request, response) => void serve(request, response))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`,
    async close() {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    }
  }
}

/** The client's side of the script, at this target. `expect`: so many messages are waited for at the end. */
export async function play(
  script: Script,
  options: Omit<ForwardOptions, 'listen'>,
  expect?: number
): Promise<{ told: Told; door: Forward }> {
  const input = new PassThrough()
  const output = new PassThrough()
  const door = await createForward({ ...options, listen: { input, output } })
  const client = new ScriptedClient(script, input)
  readMessages(output, message => client.hear(message))
  try {
    await within(client.run(expect), { timeoutMs: LIMIT, what: 'the script to come to its end' }).catch(error => {
      throw new Error(`${error.message}; so far: ${JSON.stringify(client.told)}`)
    })
    input.end()
    await within(door.ended, { timeoutMs: LIMIT, what: 'the conversation to end' })
  } finally {
    await door.close()
  }
  return { told: client.told, door }
}

class ScriptedClient {
  readonly #script: Script
  readonly #input: PassThrough
  readonly #requests: unknown[][] = []
  readonly #all: unknown[] = []
  readonly #plan: ReadonlyMap<number, ScriptedRequest>
  readonly #steps = new Map<number, number>()
  readonly #open = new Set<number>()
  #changed: () => void = () => {}

  constructor(script: Script, input: PassThrough) {
    this.#script = script
    this.#input = input
    this.#plan = byId(script)
  }

  get told(): Told {
    return { requests: this.#requests.slice(1), all: this.#all }
  }

  async run(expect: number | undefined): Promise<void> {
    const { era, rounds } = this.#script
    if (era === 'legacy') {
      this.#open.add(0)
      const params = {
        protocolVersion: '2025-11-25',
        capabilities: CAPABILITIES,
        clientInfo: META['io.modelcontextprotocol/clientInfo']
      }
      this.#send({ id: 0, method: 'initialize', params })
      await this.#until(() => this.#open.size === 0)
      this.#send({ method: 'notifications/initialized' })
    }
    let id = 0
    for (const round of rounds) {
      for (const { method, params, ends, happens } of round) {
        const meta = { progressToken: `t${++id}`, ...(era === 'modern' && META) }
        this.#open.add(id)
        this.#send({ id, method, params: { ...params, _meta: meta } })
        if (ends === 'cancelled' && !happens.some(({ kind }) => kind === 'progress')) this.#cancel(id)
      }
      await this.#until(() => this.#open.size === 0)
    }
    const said = rounds.flat().reduce((sum, one) => sum + one.after.length + one.happens.length, 0)
    const wanted = expect ?? 0
    if (said > 0) await this.#until(() => this.#all.length >= wanted)
  }

  hear(message: Json): void {
    const { id, method, params, result, error } = message
    if (method === undefined) {
      // To a request that it has left, a client hears nothing that matters.
      if (!this.#open.has(Number(id))) return
      const what = result ? { result } : { error }
      this.#tell(Number(id), what)
      this.#open.delete(Number(id))
    } else if (id !== undefined) {
      this.#all.push({ asks: method, params })
      this.#send({ id, result: { answer: params?.text } })
    } else if (method === 'notifications/progress') {
      const of = Number(String(params?.progressToken).slice(1))
      this.#tell(of, { progress: params?.message })
      this.#step(of)
    } else this.#all.push({ method, params })
    this.#changed()
  }

  #tell(id: number, what: object): void {
    this.#all.push({ id, ...what })
    const list = (this.#requests[id] ??= [])
    list.push(what)
  }

  #step(id: number): void {
    const steps = (this.#steps.get(id) ?? 0) + 1
    this.#steps.set(id, steps)
    const { ends, happens } = this.#plan.get(id)!
    if (ends === 'cancelled' && steps === happens.filter(({ kind }) => kind === 'progress').length) this.#cancel(id)
  }

  #cancel(id: number): void {
    this.#send({ method: 'notifications/cancelled', params: { requestId: id } })
    this.#open.delete(id)
  }

  #send(message: object): void {
    this.#input.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`)
  }

  async #until(done: () => boolean): Promise<void> {
    while (!done()) await new Promise<void>(resolve => void (this.#changed = resolve))
  }
}

function readMessages(output: PassThrough, hear: (message: Json) => void): void {
  let text = ''
  output.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
    const lines = text.split('\n')
    text = lines.pop()!
    for (const line of lines) if (line !== '') hear(JSON.parse(line) as Json)
  })
}
