import { decodeString, skipBlank, valueEnd, walkItems } from './json-text.ts'

/** What people want to know of a JSON-RPC message at a glance, read off its text without building it. */
export interface MessageFacts {
  readonly kind: 'request' | 'notification' | 'response' | 'other'
  /** JSON text. */
  readonly id?: string
  readonly method?: string
  /** `params.name` or `params.uri`: the tool, prompt or resource. */
  readonly subject?: string
  readonly error?: { readonly code?: string; readonly message?: string }
  /** A tool's answer with `isError`. */
  readonly toolError?: boolean
  /** JSON text of `params._meta.progressToken` of a request, of `params.progressToken` of progress. */
  readonly progressToken?: string
  /** JSON text of `params.requestId`: what is cancelled. */
  readonly requestId?: string
  /** JSON text of what the message carries: arguments, parameters, result. */
  readonly payload?: string
}

/** A batch of a million is one line all the same. */
const MAX_BATCH = 100

/** One entry for a message, several for a batch. Also of a message's mere beginning. */
export function factsOf(text: string): readonly MessageFacts[] {
  const start = skipBlank(text, 0)
  const first = text.charCodeAt(start)
  if (first === 0x7b) return [messageAt(text, start).facts]
  const all: MessageFacts[] = []
  if (first === 0x5b) {
    walkItems(text, start, (_, at) => {
      if (all.length >= MAX_BATCH || text.charCodeAt(at) !== 0x7b) return valueEnd(text, at)
      const { facts, end } = messageAt(text, at)
      all.push(facts)
      return end
    })
  }
  return all
}

type Draft = { -readonly [K in keyof MessageFacts]: MessageFacts[K] }

function messageAt(text: string, start: number): { readonly facts: MessageFacts; readonly end: number } {
  const facts: Draft = { kind: 'other' }
  const end = walkItems(text, start, (key, at) => {
    if (key === 'params') return readParams(text, at, facts)
    if (key === 'result') return readResult(text, at, facts)
    if (key === 'error') return readError(text, at, facts)
    const after = valueEnd(text, at)
    if (key === 'id') facts.id = text.slice(at, after)
    else if (key === 'method') facts.method = decodeString(text, at, after)
    return after
  })
  if (facts.method !== undefined) facts.kind = facts.id === undefined ? 'notification' : 'request'
  else if (facts.payload !== undefined || facts.error) facts.kind = 'response'
  return { facts, end }
}

function readParams(text: string, start: number, facts: Draft): number {
  if (text.charCodeAt(start) !== 0x7b) return valueEnd(text, start)
  let given: string | undefined
  const end = walkItems(text, start, (key, at) => {
    const after = valueEnd(text, at)
    if (key === 'name' || key === 'uri') facts.subject ??= decodeString(text, at, after)
    else if (key === 'arguments') given = text.slice(at, after)
    else if (key === 'progressToken') facts.progressToken = text.slice(at, after)
    else if (key === 'requestId') facts.requestId = text.slice(at, after)
    else if (key === '_meta') readMeta(text, at, facts)
    return after
  })
  facts.payload = given ?? text.slice(start, end)
  return end
}

function readMeta(text: string, start: number, facts: Draft): void {
  if (text.charCodeAt(start) !== 0x7b) return
  walkItems(text, start, (key, at) => {
    const after = valueEnd(text, at)
    if (key === 'progressToken') facts.progressToken ??= text.slice(at, after)
    return after
  })
}

function readResult(text: string, start: number, facts: Draft): number {
  if (text.charCodeAt(start) !== 0x7b) return keep(text, start, facts)
  const end = walkItems(text, start, (key, at) => {
    const after = valueEnd(text, at)
    if (key === 'isError' && text.slice(at, after) === 'true') facts.toolError = true
    return after
  })
  facts.payload = text.slice(start, end)
  return end
}

function readError(text: string, start: number, facts: Draft): number {
  const error: { code?: string; message?: string } = {}
  facts.error = error
  if (text.charCodeAt(start) !== 0x7b) return keep(text, start, facts)
  return walkItems(text, start, (key, at) => {
    const after = valueEnd(text, at)
    if (key === 'code') error.code = text.slice(at, after)
    else if (key === 'message') error.message = decodeString(text, at, after)
    else if (key === 'data') facts.payload = text.slice(at, after)
    return after
  })
}

function keep(text: string, start: number, facts: Draft): number {
  const end = valueEnd(text, start)
  facts.payload = text.slice(start, end)
  return end
}
