/** Tools whose every run is noted in a file that outlives whoever ran it, so that it can be counted from outside. */
import { randomUUID } from 'node:crypto'
import { appendFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { McpServer, type ServerContext } from '@modelcontextprotocol/server'
import { schemaOf } from '../../fixtures/servers/schemas.ts'

/** A line of the ledger. */
export type Entry =
  | { readonly kind: 'child'; readonly pid: number }
  | { readonly kind: 'run'; readonly call: string; readonly secret: string; readonly place: string }
  | { readonly kind: 'crossed'; readonly what: string; readonly secret: string; readonly place: string }

interface Work {
  /** Unique among all calls of all clients. */
  readonly call: string
  /** The same in all calls of one session, and in no other's. */
  readonly secret: string
  readonly ms?: number
  readonly steps?: number
}

const WORK = schemaOf<Work>(
  { call: { type: 'string' }, secret: { type: 'string' }, ms: { type: 'number' }, steps: { type: 'integer' } },
  ['call', 'secret']
)

/** One small write at the end of a file is one line, whoever else writes. */
export function note(ledger: string, entry: Entry): void {
  appendFileSync(ledger, `${JSON.stringify(entry)}\n`)
}

/** A server for one session: what it is told in it must never turn up in another. */
export class CountedServer {
  readonly server = new McpServer(
    { name: 'counted', version: '1.0.0' },
    { capabilities: { logging: {}, tools: { listChanged: true } } }
  )
  readonly #ledger: string
  readonly #place = randomUUID()
  #secret: string | undefined
  #said = 0

  constructor(ledger: string) {
    this.#ledger = ledger
    const { server } = this
    server.registerTool('work', { inputSchema: WORK }, (work, context) => this.#work(work, context))
    server.registerTool('ask', { inputSchema: WORK }, (work, context) => this.#ask(work, context))
    server.registerTool('say', { inputSchema: WORK }, work => this.#say(work))
  }

  async #work(work: Work, context: ServerContext): Promise<Answer> {
    this.#begin(work)
    const { call, secret, ms = 0, steps = 0 } = work
    const progressToken = context.mcpReq._meta?.progressToken
    for (let progress = 1; progress <= steps; progress++) {
      await pause(ms / (steps + 1))
      if (progressToken === undefined) continue
      const params = { progressToken, progress, total: steps, message: `${secret}/${call}` }
      // Whoever asked may be gone: the call goes on.
      await context.mcpReq.notify({ method: 'notifications/progress', params }).catch(() => {})
    }
    await pause(ms / (steps + 1))
    return this.#answer(work)
  }

  async #ask(work: Work, context: ServerContext): Promise<Answer> {
    this.#begin(work)
    const { call, secret } = work
    const answer = (await context.mcpReq.send(
      {
        method: 'elicitation/create',
        params: {
          mode: 'form',
          message: `${secret}/${call}`,
          requestedSchema: { type: 'object', properties: { echo: { type: 'string' } }, required: ['echo'] }
        }
      },
      { signal: context.mcpReq.signal }
    )) as { content?: { echo?: string } }
    if (answer.content?.echo !== `${secret}/${call}`) this.#crossed('the answer to a question', secret)
    return this.#answer(work)
  }

  /** What it then says belongs to no call. */
  #say(work: Work): Answer {
    this.#begin(work)
    setTimeout(() => {
      const data = { secret: work.secret, call: work.call, place: this.#place, n: ++this.#said }
      const said = { method: 'notifications/message', params: { level: 'warning', logger: 'said', data } } as const
      this.server.server.notification(said).catch(() => {})
    }, 20)
    return this.#answer(work)
  }

  #begin({ call, secret }: Work): void {
    note(this.#ledger, { kind: 'run', call, secret, place: this.#place })
    this.#secret ??= secret
    if (this.#secret !== secret) this.#crossed('a call', secret)
  }

  #crossed(what: string, secret: string): void {
    note(this.#ledger, { kind: 'crossed', what, secret, place: this.#place })
  }

  #answer({ call, secret }: Work): Answer {
    return { content: [{ type: 'text', text: `${secret}/${call}` }] }
  }
}

interface Answer {
  [member: string]: unknown
  readonly content: { readonly type: 'text'; readonly text: string }[]
}
