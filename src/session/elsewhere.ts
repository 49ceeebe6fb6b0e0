import { CatflapError } from '../errors.ts'
import type { Leg } from '../transport/upstream.ts'

/** In the place of the leg of a session that another process holds: each call is handed over there on a leg of its own. */
export const elsewhere: Leg = {
  upstreamId: undefined,
  call(_input, receiver) {
    queueMicrotask(() => receiver.onError(new CatflapError('owner_unreachable')))
    return { pause() {}, resume() {}, cancel() {} }
  },
  close: async () => {}
}
