import { excerpt } from '../../printable.ts'
import { Message } from '../../protocol/message.ts'
import { skipSpace, skipValue, walkArray, walkObject } from '../../protocol/scan.ts'
import { paramHeaders, ToolCatalog } from '../../protocol/tool-headers.ts'

interface ToolList {
  readonly result?: { readonly tools?: unknown; readonly nextCursor?: unknown }
}

/** Of one list: a server can name as many invalid tools as it likes. */
const MAX_NOTES = 20

/** What the tools of a modern server ask of the headers of their calls (spec 2026-07-28 basic/transports/streamable-http). */
export class ToolHeaderBook {
  readonly #catalog = new ToolCatalog()
  readonly #note: (text: string) => void

  constructor(note: (text: string) => void) {
    this.#note = note
  }

  /** Reads an answer to tools/list. Returns what the client gets: the same, unless a tool is to be left out. */
  learn(answer: Message): Message {
    const { invalid } = this.#catalog.learn((answer.json as ToolList).result?.tools)
    if (invalid.length === 0) return answer
    for (const { name, reason } of invalid.slice(0, MAX_NOTES)) {
      const why = `its header annotations are invalid (${excerpt(reason, 200)})`
      this.#note(`the tool '${excerpt(name, 100)}' is left out of tools/list: ${why}`)
    }
    if (invalid.length > MAX_NOTES) this.#note(`so are ${invalid.length - MAX_NOTES} more tools`)
    const names = new Set(invalid.map(tool => tool.name))
    return withoutTools(answer, names)
  }

  /** Reads a page that nobody but catflap asked for. Returns the cursor of the next one. */
  learnPage(answer: Message): string | undefined {
    const { result } = answer.json as ToolList
    this.#catalog.learn(result?.tools)
    return typeof result?.nextCursor === 'string' ? result.nextCursor : undefined
  }

  /** The headers that mirror the arguments of that call. */
  headersFor(call: Message): string[] {
    const tool = call.name === undefined ? undefined : this.#catalog.get(call.name)
    if (!tool || !('params' in tool) || tool.params.length === 0) return []
    return paramHeaders(tool.params, (call.json as { params?: { arguments?: unknown } }).params?.arguments)
  }

  clear(): void {
    this.#catalog.clear()
  }
}

interface Range {
  readonly start: number
  readonly end: number
}

/** Only those tools and a comma each go; every other byte stays. */
function withoutTools(answer: Message, names: ReadonlySet<string>): Message {
  const b = answer.bytes
  const tools = toolsIn(b)
  const parts: Buffer[] = []
  let from = 0
  let kept = 0
  for (const [i, tool] of tools.entries()) {
    const value = JSON.parse(b.toString('utf8', tool.start, tool.end)) as { name?: unknown } | null
    if (typeof value?.name !== 'string' || !names.has(value.name)) {
      kept++
      continue
    }
    // With the comma before it, or where nothing is left before it, with the one behind it.
    const cutFrom = kept > 0 ? tools[i - 1]!.end : tool.start
    parts.push(b.subarray(from, Math.max(from, cutFrom)))
    from = kept > 0 ? tool.end : (tools[i + 1]?.start ?? tool.end)
  }
  return Message.parse(Buffer.concat([...parts, b.subarray(from)]), 'server')
}

/** Where the elements of `result.tools` stand. Of several members of one name the last counts, as for JSON.parse. */
function toolsIn(b: Buffer): Range[] {
  let tools: Range[] = []
  walkObject(b, skipSpace(b, 0, b.length), b.length, (key, start, end) => {
    if (key !== 'result' || b[start] !== 0x7b) return skipValue(b, start, end)
    tools = []
    return walkObject(b, start, end, (name, at) => {
      if (name !== 'tools' || b[at] !== 0x5b) return skipValue(b, at, end)
      tools = []
      return walkArray(b, at, end, (s, e) => tools.push({ start: s, end: e }))
    })
  })
  return tools
}
