import type { CancelReason, HttpWatch, Leg } from '../transport/upstream.ts'
import { Call } from './call.ts'
import type { Exchange } from './exchange.ts'
import { sendCancelled } from './own-message.ts'

/** The upstream half of an exchange, not yet started. `excused`: its deadline does not pass now. */
export function callOf(x: Exchange, leg: Leg, excused: (() => boolean) | undefined): Call {
  const { settings, deadlines, target } = x.core
  const { kind, era, message, batch, body, headers, query } = x
  // The process that carries it out counts it.
  x.probe = x.peer === undefined ? x.core.meter?.call(x) : undefined
  // Behind a session's loss: whoever watches sees what is sent once more.
  const watch = x.again ? watchOf(x) : undefined
  const call: Call = new Call(leg, { kind, era, message, batch, body, headers, query, watch }, x.answer, {
    label: target.label,
    probe: x.probe,
    deadlines,
    cancelGrace: settings.cancelGrace,
    maxRequestTime: settings.maxRequestTime,
    excused,
    onCancel: reason => cancelled(x, leg, call, reason)
  })
  return call
}

function watchOf({ core, session }: Exchange): HttpWatch {
  const { bus, tap } = core
  return (method, path, headers) => (bus.active ? tap.upstreamRequest(session, method, path, headers) : undefined)
}

function cancelled(x: Exchange, leg: Leg, call: Call, reason: CancelReason): void {
  const { bus, tap } = x.core
  if (bus.active) tap.note(x, 'cancel', `the call was cancelled upstream: ${reason}`)
  // The leg of a client on a pipe says it itself; a modern server over HTTP understands the closed stream.
  if (reason !== 'timeout' || x.era === 'modern' || x.connection || leg.upstreamId === undefined) return
  sendCancelled(leg, call.input, 'timed out', message => {
    if (bus.active) tap.loose(x.session, x.stream, 'server', 'up', message, true)
  })
}
