import { CatflapError } from '../../errors.ts'
import { Message } from '../../protocol/message.ts'
import { ToolCatalog, type ToolHeaders } from '../../protocol/tool-headers.ts'
import type { Leg, LegEvents } from '../upstream.ts'
import { ask, ownMeta } from './shared-child-ask.ts'

/** Pages of one list; a server that names a next one without end is not followed for ever. */
const MAX_PAGES = 100
/** For all pages, in ms: a call waits for them. */
const TIMEOUT = 10_000
/** A tool that is not in the list may be new; so long a list is believed, in ms. */
const BELIEVED = 10_000
/** Where there was no list, the server is not asked again for so long, then for twice as long …, in ms. */
const ASK_AGAIN = 10_000
const MAX_ASK_AGAIN = 600_000

let lists = 0

export interface ToolListsOptions {
  /** For people. */
  readonly label: string
  /** In ms, for all pages. Default 10 s. */
  readonly timeout?: number
  readonly own?: LegEvents['own']
}

/** What a server's tools want in headers, as its own `tools/list` says it. */
export class ToolLists {
  readonly #options: ToolListsOptions
  #catalog = new ToolCatalog()
  #askedAt = Number.NEGATIVE_INFINITY
  #asking: Promise<void> | undefined
  /** How often the list may have changed, and how many of these changes the one we have knows of. */
  #changes = 0
  #known = 0
  #failures = 0
  #failedAt = Number.NEGATIVE_INFINITY

  constructor(options: ToolListsOptions) {
    this.#options = options
  }

  /** What is known of a tool; undefined: nothing. */
  known(name: string): ToolHeaders | undefined {
    return this.#catalog.get(name)
  }

  /** Whether the server might say something else of this tool by now. */
  doubtful(name: string): boolean {
    if (this.#changes !== this.#known) return true
    return this.known(name) === undefined && performance.now() - this.#askedAt > BELIEVED
  }

  /** Whether to ask makes sense: not if the server has just failed to answer. */
  get askable(): boolean {
    if (this.#failures === 0) return true
    const wait = Math.min(ASK_AGAIN * 2 ** (this.#failures - 1), MAX_ASK_AGAIN)
    return performance.now() - this.#failedAt > wait
  }

  /** A client was told this list (a page of it). */
  learn(answer: Message): void {
    const { result } = answer.json as { result?: { tools?: unknown } | null }
    this.#catalog.learn(result?.tools)
  }

  /** The server has said that its tools changed, or is another process now. What is known stays until it is asked again. */
  changed(): void {
    this.#changes++
  }

  /**
   * Asks for the whole list. Those who want it at once share one answer. Where there is none, or it is an error, the list stays
   * as it was: whoever could bring that about would have switched the checks off.
   */
  refresh(leg: Leg, version?: string): Promise<void> {
    this.#asking ??= this.#ask(leg, version).finally(() => {
      this.#asking = undefined
    })
    return this.#asking
  }

  async #ask(leg: Leg, version: string | undefined): Promise<void> {
    const before = this.#changes
    const catalog = await this.#whole(leg, version)
    if (!catalog) {
      this.#failures++
      this.#failedAt = performance.now()
      return
    }
    this.#failures = 0
    this.#catalog = catalog
    this.#known = before
    this.#askedAt = performance.now()
  }

  /** Undefined: the server did not say it. */
  async #whole(leg: Leg, version: string | undefined): Promise<ToolCatalog | undefined> {
    const { label, timeout = TIMEOUT, own } = this.#options
    const catalog = new ToolCatalog()
    const until = performance.now() + timeout
    const _meta = ownMeta(version)
    let cursor: string | undefined
    for (let page = 0; page < MAX_PAGES; page++) {
      const id = `catflap-tools-${++lists}`
      const request = Message.from({ jsonrpc: '2.0', id, method: 'tools/list', params: { cursor, _meta } })
      own?.(request)
      const answer = await ask(leg, label, request, Math.max(1, until - performance.now())).catch(unanswered)
      if (!answer || answer.isError) return undefined
      const { result } = answer.json as { result?: { tools?: unknown; nextCursor?: unknown } | null }
      catalog.learn(result?.tools)
      const next = result?.nextCursor
      if (typeof next !== 'string' || next === cursor) break
      cursor = next
    }
    return catalog
  }
}

/** Silence, an answer over the limit, a child that ended: all of them leave us with what we know. */
function unanswered(error: unknown): undefined {
  if (!(error instanceof CatflapError)) throw error
}
