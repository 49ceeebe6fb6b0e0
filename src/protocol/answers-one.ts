import { idKey, roundedKey } from './id.ts'
import { MalformedMessage, Message } from './message.ts'

/** Whether this body is, or holds, a JSON-RPC response to one of these requests. */
export function answersOne(body: Buffer, requests: readonly Message[]): boolean {
  const wanted = new Set<string>()
  for (const { idText } of requests) {
    if (idText === undefined) continue
    const key = idKey(idText)
    wanted.add(key)
    // Servers that read numbers as doubles round big ids.
    wanted.add(roundedKey(key) ?? key)
  }
  return wanted.size > 0 && idsIn(body).some(id => wanted.has(idKey(id)))
}

function idsIn(body: Buffer): string[] {
  try {
    const parsed = Message.parseBody(body, 'server')
    const all: readonly Message[] = Array.isArray(parsed) ? parsed : [parsed as Message]
    return all.filter(m => m.kind === 'response').flatMap(m => m.idText ?? [])
  } catch (error) {
    if (!(error instanceof MalformedMessage)) throw error
    return looseIdsIn(body)
  }
}

/** Not quite a message (no `jsonrpc`, say), and yet an answer to whoever asked. */
function looseIdsIn(body: Buffer): string[] {
  try {
    const value: unknown = JSON.parse(body.toString())
    const all: readonly unknown[] = Array.isArray(value) ? value : [value]
    return all.flatMap(one => {
      const { id } = (one ?? {}) as { id?: unknown }
      return typeof id === 'string' || typeof id === 'number' ? JSON.stringify(id) : []
    })
  } catch {
    return []
  }
}
