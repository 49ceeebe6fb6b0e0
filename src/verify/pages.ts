import { Message } from '../protocol/message.ts'
import type { RecordedRequest } from '../replay/recording.ts'
import { LISTS } from './drift.ts'
import { valueAt } from './leaves.ts'
import type { LiveSession } from './live-session.ts'
import { answerOf, jsonOf } from './plan.ts'

/** A server that gives cursors without end is not followed for ever. */
const MAX_PAGES = 100

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
  options: { readonly timeout: number; readonly headers: readonly string[] }
): Promise<unknown[]> {
  const pages: unknown[] = []
  if (!LISTS.has(request.method) || nextOf(answerOf(request)) !== undefined) return pages
  const recorded = jsonOf(request) as { readonly params?: object }
  let cursor = nextOf(live)
  while (cursor !== undefined && pages.length < MAX_PAGES) {
    const id = `catflap-page-${request.order}-${pages.length}`
    const json = { ...recorded, id, params: { ...recorded.params, cursor } }
    const [sent] = session.request([Message.from(json)], options)
    const outcome = await sent!.ended
    if (outcome.kind !== 'response' || outcome.message.isError) return pages
    pages.push(outcome.message.json)
    cursor = nextOf(outcome.message.json)
  }
  return pages
}

function nextOf(answer: unknown): unknown {
  return valueAt(answer, ['result', 'nextCursor'])
}
