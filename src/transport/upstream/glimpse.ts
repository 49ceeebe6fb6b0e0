import { JsonSyntaxError, skipSpace, skipValue, walkObject } from '../../protocol/scan.ts'

/** What can be told of a message of which only both ends are known. */
export interface Glimpse {
  /** `other`: a notification, or no message at all. */
  readonly kind: 'answer' | 'request' | 'other'
  readonly idText: string | undefined
}

const OTHER: Glimpse = { kind: 'other', idText: undefined }
/** An id as the last member, or as the last but `jsonrpc`: one closing brace behind it, so that it is the message's own. */
const ID_AT_END = /"id"\s*:\s*("(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*)\s*(?:,\s*"jsonrpc"\s*:\s*"2\.0"\s*)?\}\s*$/

/** SDKs write the id before the body or behind it; `head` and `tail` are the line's first and last bytes. */
export function glimpse(head: Buffer, tail: Buffer): Glimpse {
  const members = membersAt(head)
  const kind = members.has('method') ? 'request' : members.has('result') || members.has('error') ? 'answer' : 'other'
  if (kind === 'other') return OTHER
  const idText = members.get('id') ?? ID_AT_END.exec(tail.toString('latin1'))?.[1]
  return kind === 'request' && idText === undefined ? OTHER : { kind, idText }
}

/** The members that begin in `head`, with the values that end there too. */
function membersAt(head: Buffer): Map<string, string | undefined> {
  const members = new Map<string, string | undefined>()
  const start = skipSpace(head, 0, head.length)
  if (head[start] !== 0x7b) return members
  try {
    walkObject(head, start, head.length, (key, at, end) => {
      members.set(key, undefined)
      const after = skipValue(head, at, end)
      // A number that reaches to the end may go on behind it.
      if (key === 'id' && after < end) members.set(key, head.toString('utf8', at, after))
      return after
    })
  } catch (error) {
    if (!(error instanceof JsonSyntaxError)) throw error // it goes on where `head` ends
  }
  return members
}
