import { Message } from '../protocol/message.ts'
import type { RecordedRequest } from '../replay/recording.ts'
import { LISTS } from './drift.ts'
import { valueAt } from './leaves.ts'
import { cursorOf, nextOf } from './listings.ts'
import type { LiveSession } from './live-session.ts'
import type { Offers } from './offers.ts'
import { answerOf, jsonOf } from './plan.ts'

/** A server that gives cursors without end is not followed for ever. */
const MAX_PAGES = 100

type Sending = Parameters<LiveSession['request']>[1]

/** The answer is one page of a list. */
export function isPage(request: RecordedRequest, live: unknown): boolean {
  if (!LISTS.has(request.method)) return false
  const cursors = [cursorOf(request), nextOf(answerOf(request)), nextOf(live)]
  return cursors.some(cursor => cursor !== undefined)
}

/**
 * The list goes on where it had ended when it was recorded, or what its client saw is on none of the pages that it asked for:
 * asks for the rest. Returns the pages.
 */
export async function furtherPages(
  session: LiveSession,
  request: RecordedRequest,
  offers: Offers,
  live: unknown,
  options: Sending
): Promise<unknown[]> {
  const cursor = nextOf(live)
  const listing = cursor === undefined ? undefined : offers.unfinished(request)
  if (!listing) return []
  const recorded = jsonOf(request) as Asked
  const first = { ...recorded, params: { ...recorded.params, cursor } }
  const { pages, why } = await pagesFrom(session, first, `page-${request.order}`, options)
  for (const page of pages) offers.furtherPage(listing, page)
  if (why !== undefined) listing.trouble = { at: request, why }
  return pages
}

/** A whole list that no client asked for, in the name of one that asked for something else. */
export async function allPages(
  session: LiveSession,
  method: string,
  request: RecordedRequest,
  options: Sending
): Promise<unknown[]> {
  // Requests of the modern era say in each of them who asks.
  const meta = valueAt(jsonOf(request), ['params', '_meta'])
  const params = typeof meta === 'object' && meta !== null ? { _meta: { ...meta, progressToken: undefined } } : {}
  const first = { jsonrpc: '2.0', method, params }
  return (await pagesFrom(session, first, `list-${request.order}`, options)).pages
}

interface Pages {
  readonly pages: unknown[]
  /** Why there are no more, where the last of them is not the end. */
  readonly why?: string
}

async function pagesFrom(session: LiveSession, first: Asked, name: string, options: Sending): Promise<Pages> {
  const pages: unknown[] = []
  let { params } = first
  while (pages.length < MAX_PAGES) {
    const id = `catflap-${name}-${pages.length}`
    const [sent] = session.request([Message.from({ ...first, id, params })], options)
    const outcome = await sent!.ended
    if (outcome.kind !== 'response') return { pages, why: 'a further page, which gets no answer' }
    if (outcome.message.isError) return { pages, why: 'a further page, which is an error' }
    pages.push(outcome.message.json)
    const cursor = nextOf(outcome.message.json)
    if (cursor === undefined) return { pages }
    params = { ...params, cursor }
  }
  return { pages, why: `more than ${MAX_PAGES} further pages` }
}

interface Asked {
  readonly jsonrpc?: string
  readonly method?: string
  readonly params?: object
}
