import { createHash } from 'node:crypto'
import type { Message } from './message.ts'

/** Bytes of an answer to `initialize` that are looked into. Those of real servers have a few thousand. */
const MAX_ANSWER = 256 * 1024

/**
 * What a server said of itself in its answer to `initialize` (revision, capabilities, name and version), as a short text that is
 * equal for equal answers, whatever the order of their members. Undefined where it said too much to be compared.
 */
export function serverIdentity(answer: Message): string | undefined {
  const result = resultOf(answer)
  if (!result) return undefined
  const { protocolVersion, capabilities, serverInfo } = result
  try {
    const text = JSON.stringify({ protocolVersion, capabilities, serverInfo }, inOrder)
    return createHash('sha256').update(text).digest('base64url')
  } catch (error) {
    // Nested deeper than the stack is.
    if (error instanceof RangeError) return undefined
    throw error
  }
}

/** The notifications that tell that lists have changed, of those lists whose changes this server announces. */
export function announcedLists(answer: Message): string[] {
  const capabilities = resultOf(answer)?.capabilities
  if (!isObject(capabilities)) return []
  return LISTS.filter(list => {
    const capability = capabilities[list]
    return isObject(capability) && capability.listChanged === true
  }).map(list => `notifications/${list}/list_changed`)
}

const LISTS = ['tools', 'prompts', 'resources']

function resultOf(answer: Message): Readonly<Record<string, unknown>> | undefined {
  if (answer.isError || answer.bytes.length > MAX_ANSWER) return undefined
  const { result } = answer.json as { result?: unknown }
  return isObject(result) ? result : undefined
}

function inOrder(_name: string, value: unknown): unknown {
  if (!isObject(value)) return value
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
