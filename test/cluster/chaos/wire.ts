/** `fetch` for the SDK's transport, which watches what becomes of each request on its way. */
import type { FetchLike } from '@modelcontextprotocol/client'
import { type Agent, fetch as undiciFetch } from 'undici'
import type { Refusal } from './outcome.ts'

export interface Watcher {
  /** The request that carries this call got a status that is no success. */
  refused(call: string, refusal: Refusal): void
  /** So did the client's answer to a question asked in this call; undefined: the connection broke. */
  answerRefused(call: string, refusal: Refusal | undefined): void
  /** The answer to this call has come to an end, good or bad. */
  ended(call: string): void
  /** One more open stream that belongs to no call, or one less. */
  listening(change: 1 | -1): void
}

/** What the requests that open a session are called. */
export const HANDSHAKE = ''

interface Body {
  readonly method?: string
  readonly params?: { readonly arguments?: { readonly call?: string } }
  readonly result?: { readonly content?: { readonly echo?: string } }
}

export function watched(agent: Agent, watcher: Watcher): FetchLike {
  return async (url, init) => {
    const body = typeof init?.body === 'string' ? (JSON.parse(init.body) as Body) : undefined
    const call = body?.method?.includes('initialize') ? HANDSHAKE : body?.params?.arguments?.call
    const answered = body?.result?.content?.echo?.split('/')[1]
    let response: Response
    try {
      const options = { ...init, dispatcher: agent } as Parameters<typeof undiciFetch>[1]
      response = (await undiciFetch(url, options)) as unknown as Response
    } catch (error) {
      if (answered !== undefined) watcher.answerRefused(answered, undefined)
      throw error
    }
    if (!response.ok) {
      const refusal = { status: response.status, text: await response.text().catch(() => '') }
      if (call !== undefined) watcher.refused(call, refusal)
      if (answered !== undefined) watcher.answerRefused(answered, refusal)
      return new Response(refusal.text, { status: refusal.status, headers: response.headers })
    }
    if (init?.method === 'GET') {
      watcher.listening(1)
      return withEnd(response, () => watcher.listening(-1))
    }
    const isStream = response.headers.get('content-type')?.startsWith('text/event-stream') === true
    return call !== undefined && isStream ? withEnd(response, () => watcher.ended(call)) : response
  }
}

/** The same, where it is told once that the body has ended, broken off, or is not wanted any more. */
function withEnd(response: Response, ended: () => void): Response {
  const reader = response.body!.getReader()
  let open = true
  const end = (): void => {
    if (open) ended()
    open = false
  }
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { value, done } = await reader.read()
        if (!done) return controller.enqueue(value)
        controller.close()
      } catch (error) {
        controller.error(error)
      }
      end()
    },
    async cancel(reason) {
      end()
      await reader.cancel(reason)
    }
  })
  return new Response(body, { status: response.status, headers: response.headers })
}
