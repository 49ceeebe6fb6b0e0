import { Message } from '../protocol/message.ts'
import type { RecordedRequest } from '../replay/recording.ts'
import { LISTS } from './drift.ts'
import { valueAt } from './leaves.ts'
import type { LiveSession } from './live-session.ts'
import { answerOf, jsonOf } from './plan.ts'

/** A server that gives cursors without end is not followed for ever. */
const MAX_PAGES = 100

type Sending = Parameters<LiveSession['request']>[1]

/** The answer is one page of a list. */
export function isPage(request: RecordedRequest, live: unknown): boolean {
  if (!LISTS.has(request.method)) return false
  const cursors = [valueAt(jsonOf(request), ['params', 'cursor']), nextOf(answerOf(request)), nextOf(live)]
  return cursors.some(cursor => cursor !== undefined)
}

/**
 * The list goes on where it had ended when it was recorded, so that its client would have gone on as well: asks for the rest.
 */
export async function furtherPages(
  session: LiveSession,
  request: RecordedRequest,
  live: unknown,
  options: Sending
): Promise<unknown[]> {
  if (!LISTS.has(request.method) || nextOf(answerOf(request)) !== undefined) return []
  const cursor = nextOf(live)
  if (cursor === undefined) return []
  const recorded = jsonOf(request) as Asked
  return pagesFrom(session, { ...recorded, params: { ...recorded.params, cursor } }, `page-${request.order}`, options)
}

/** A whole list that no client asked for, in the name of one that asked for something else. */
export function allPages(
  session: LiveSession,
  method: string,
  request: RecordedRequest,
  options: Sending
): Promise<unknown[]> {
  // Requests of the modern era say in each of them who asks.
  const meta = valueAt(jsonOf(request), ['params', '_meta'])
  const params = typeof meta === 'object' && meta !== null ? { _meta: { ...meta, progressToken: undefined } } : {}
  return pagesFrom(session, { jsonrpc: '2.0', method, params }, `list-${request.order}`, options)
}

async function pagesFrom(session: LiveSession, first: Asked, name: string, options: Sending): Promise<unknown[]> {
  const pages: unknown[] = []
  let { params } = first
  while (pages.length < MAX_PAGES) {
    const id = `catflap-${name}-${pages.length}`
    const [sent] = session.request([Message.from({ ...first, id, params })], options)
    const outcome = await sent!.ended
    if (outcome.kind !== 'response' || outcome.message.isError) return pages
    pages.push(outcome.message.json)
    const cursor = nextOf(outcome.message.json)
    if (cursor === undefined) return pages
    params = { ...params, cursor }
  }
  return pages
}

interface Asked {
  readonly jsonrpc?: string
  readonly method?: string
  readonly params?: object
}

function nextOf(answer: unknown): unknown {
  return valueAt(answer, ['result', 'nextCursor'])
}
