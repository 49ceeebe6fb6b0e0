import type { Conversation, RecordedRequest } from '../../src/replay/recording.ts'

export interface Sketch {
  readonly method: string
  readonly params?: unknown
  /** The whole message, in place of method and params. */
  readonly text?: string
  /** Orders of its beginning and its answer; without, one after the other. */
  readonly span?: readonly [number, number]
  readonly open?: true
  readonly truncated?: true
}

/** A conversation as a reader of tapes gives it: of requests alone. Line numbers count from 2. */
export function conversationOf(sketches: readonly Sketch[], { from = 0, session = 's1' } = {}): Conversation {
  return {
    era: 'legacy',
    added: false,
    session,
    version: '2025-11-25',
    versions: [],
    steps: sketches.map((sketch, i) => requestOf(sketch, from + i)),
    before: []
  }
}

function requestOf({ method, params, text, span, open, truncated }: Sketch, i: number): RecordedRequest {
  const message = text ?? JSON.stringify({ jsonrpc: '2.0', id: i, method, params })
  const [begin, end] = span ?? [2 * i, 2 * i + 1]
  const place = { file: 'a.tape.jsonl', line: i + 2 }
  const named = params as { readonly name?: string; readonly uri?: string } | undefined
  return {
    kind: 'request',
    at: begin,
    order: begin,
    place,
    redacted: [],
    headers: undefined,
    method,
    subject: named?.name ?? named?.uri,
    text: textOf(message),
    id: String(i),
    progressToken: undefined,
    batch: undefined,
    truncated: truncated === true,
    said: [],
    after: [],
    outcome: open
      ? { kind: 'open' }
      : {
          kind: 'response',
          at: end,
          order: end,
          text: textOf(`{"jsonrpc":"2.0","id":${i},"result":{}}`),
          isError: false,
          status: 200,
          truncated: false,
          own: false,
          place
        },
    cancelled: undefined
  }
}

function textOf(text: string): RecordedRequest['text'] {
  return { length: text.length, get: () => text }
}

export function callOf(name: string, args: unknown, more: Partial<Sketch> = {}): Sketch {
  return { method: 'tools/call', params: { name, arguments: args }, ...more }
}
