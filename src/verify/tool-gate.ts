import { valueAt } from './leaves.ts'
import { nextOf } from './listings.ts'
import type { LiveSession } from './live-session.ts'
import { isReadOnly } from './writes.ts'

/** What a list says of a name. */
type Says = 'reads' | 'may write' | 'twice'

interface Known {
  /** Undefined: the server was asked for the whole list, and did not give it. */
  readonly tools: ReadonlyMap<string, Says> | undefined
  /** How often the server had said, when it was asked for this list, that its tools have changed. */
  readonly changes: number
}

/** A list that changes each time it is asked for is asked for no more than so many times in a row. */
const MAX_ASKED = 3

/**
 * Lets through the calls of tools of which the server itself says, at this moment, that they only read. Whatever keeps it from
 * saying so keeps the call back as well.
 */
export class ToolGate {
  readonly #known = new Map<LiveSession, Known>()

  /** Of all pages of a list, from its first on; `changes` as of when it was asked for. What is not whole says nothing. */
  learn(session: LiveSession, pages: readonly unknown[], changes: number): void {
    const tools = toolsOf(pages)
    if (tools) this.#known.set(session, { tools, changes })
    else this.#known.delete(session)
  }

  /** Asks for the list where it is not known how it is now. One that cannot be had is asked for again only once it has changed. */
  async ask(session: LiveSession, list: () => Promise<readonly unknown[]>): Promise<void> {
    for (let i = 0; i < MAX_ASKED && !this.#isFresh(session); i++) {
      const changes = session.toolChanges
      const tools = toolsOf(await list())
      this.#known.set(session, { tools, changes })
      if (!tools) return
    }
  }

  /** Why a tool is not called. */
  whyNot(session: LiveSession, name: string | undefined): string | undefined {
    const known = this.#known.get(session)
    if (!known?.tools) return `the server does not give its list of tools as a whole${ALL_THE_SAME}`
    if (!this.#isFresh(session)) return `the server's list of tools changes again and again${ALL_THE_SAME}`
    const says = name === undefined ? undefined : known.tools.get(name)
    if (says === 'reads') return undefined
    if (says === 'twice') return `the server lists the tool more than once${ALL_THE_SAME}`
    if (says === undefined) return `the server does not list the tool any more${ALL_THE_SAME}`
    return `the server does not mark the tool read-only any more${ALL_THE_SAME}`
  }

  #isFresh(session: LiveSession): boolean {
    return this.#known.get(session)?.changes === session.toolChanges
  }
}

const ALL_THE_SAME = '; --allow-writes calls it all the same'

function toolsOf(pages: readonly unknown[]): ReadonlyMap<string, Says> | undefined {
  if (pages.length === 0 || nextOf(pages.at(-1)) !== undefined) return undefined
  const known = new Map<string, Says>()
  for (const page of pages) {
    const tools = valueAt(page, ['result', 'tools'])
    if (!Array.isArray(tools)) return undefined
    for (const tool of tools) {
      const name = valueAt(tool, ['name'])
      if (typeof name !== 'string') continue
      known.set(name, known.has(name) ? 'twice' : isReadOnly(tool) ? 'reads' : 'may write')
    }
  }
  return known
}
