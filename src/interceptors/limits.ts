import { CatflapError } from '../errors.ts'
import type { Exchange } from '../proxy/exchange.ts'
import { type Interceptor, Slot } from '../proxy/interceptor.ts'

/** How many exchanges may be in flight, and how many streams open. */
export function limits(max: { readonly maxExchanges: number; readonly maxStreams: number }): Interceptor {
  const counted = new Slot<boolean>()
  function stream(x: Exchange): CatflapError | undefined {
    if (x.core.streams >= max.maxStreams) return new CatflapError('too_many_streams')
    x.core.streams++
    counted.set(x, true)
    return undefined
  }

  return {
    name: 'limits',
    admit(x: Exchange): CatflapError | undefined {
      const core = x.core
      if (x.client?.method === 'GET') return stream(x)
      // The exchange that asks is in flight already; open streams have a limit of their own.
      return core.inFlight.size - core.streams > max.maxExchanges ? new CatflapError('too_many_exchanges') : undefined
    },
    request(x: Exchange) {
      // Answers and notifications still pass whatever happens: calls in flight may be waiting for them.
      if (x.kind === 'notify' || x.kind === 'terminate') return undefined
      // On a pipe there is no head to refuse.
      if (x.transport === 'stdio' && x.core.inFlight.size > max.maxExchanges)
        return { error: new CatflapError('too_many_exchanges') }
      if (x.core.draining) return { error: new CatflapError('shutting_down') }
      // What the modern era has in the place of a GET: it is a stream, too, and known as one only now.
      const error = x.client && x.kind === 'request' && x.longLived ? stream(x) : undefined
      return error && { error }
    },
    end(x: Exchange) {
      if (counted.get(x)) x.core.streams--
    }
  }
}
