import { Message } from '../../protocol/message.ts'
import { ToolCatalog, type ToolHeaders } from '../../protocol/tool-headers.ts'
import type { Leg, LegEvents } from '../upstream.ts'
import { ask } from './shared-child-ask.ts'

/** Pages of one list; a server that names a next one without end is not followed for ever. */
const MAX_PAGES = 100
/** For all pages, in ms: a call waits for them. */
const TIMEOUT = 30_000
/** A tool that is not in the list may be new; so long a list is believed, in ms. */
const BELIEVED = 10_000

let lists = 0

/** What a server's tools want in headers, as its own `tools/list` says it. */
export class ToolLists {
  #catalog = new ToolCatalog()
  #askedAt = Number.NEGATIVE_INFINITY
  #asking: Promise<void> | undefined

  /** What is known of a tool; undefined: nothing. */
  known(name: string): ToolHeaders | undefined {
    return this.#catalog.get(name)
  }

  /** Whether asking anew could tell more of a tool that is not known. */
  get stale(): boolean {
    return performance.now() - this.#askedAt > BELIEVED
  }

  /** A client was told this list (a page of it). */
  learn(answer: Message): void {
    const { result } = answer.json as { result?: { tools?: unknown } | null }
    this.#catalog.learn(result?.tools)
  }

  clear(): void {
    this.#catalog.clear()
    this.#askedAt = Number.NEGATIVE_INFINITY
  }

  /**
   * Asks for the whole list. Those who want it at once share one answer; `meta` is the `_meta` of the first one's request.
   * A server that answers with an error has no tools; rejects where there is no answer at all.
   */
  refresh(leg: Leg, label: string, meta: object, own?: LegEvents['own']): Promise<void> {
    this.#asking ??= this.#ask(leg, label, meta, own).finally(() => {
      this.#asking = undefined
    })
    return this.#asking
  }

  async #ask(leg: Leg, label: string, meta: object, own: LegEvents['own']): Promise<void> {
    const catalog = new ToolCatalog()
    const until = performance.now() + TIMEOUT
    let cursor: string | undefined
    for (let page = 0; page < MAX_PAGES; page++) {
      const params = cursor === undefined ? { _meta: meta } : { cursor, _meta: meta }
      const id = `catflap-tools-${++lists}`
      const request = Message.from({ jsonrpc: '2.0', id, method: 'tools/list', params })
      own?.(request)
      const answer = await ask(leg, label, request, Math.max(1, until - performance.now()))
      const { result } = answer.json as { result?: { tools?: unknown; nextCursor?: unknown } | null }
      catalog.learn(result?.tools)
      const next = result?.nextCursor
      if (typeof next !== 'string' || next === cursor) break
      cursor = next
    }
    this.#catalog = catalog
    this.#askedAt = performance.now()
  }
}
