/** Connections of our own to servers, so that a test can end them as a system does that no longer reaches the other side. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { Socket } from 'node:net'
import type { Test } from 'tap'

/** Codes that systems give to connections that cannot be made, and to those that break later, as well. */
export const LATE_CODES = [
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ECONNREFUSED',
  'EACCES',
  'EPROTO',
  'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED',
  'ERR_SSL_SSL/TLS_ALERT_BAD_RECORD_MAC',
  'UND_ERR_CONNECT_TIMEOUT',
  'ECONNRESET',
  'EPIPE'
] as const

/** `breakAll` ends all that are made to this port from now on with an error of this code. */
export function upstreamSockets(t: Test, port: number): { breakAll(code: string): number } {
  const sockets = new Set<Socket>()
  const onConnected = (message: unknown): void => {
    const { socket } = message as { socket: Socket }
    if (socket.remotePort !== port) return
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  }
  subscribe('undici:client:connected', onConnected)
  t.teardown(() => unsubscribe('undici:client:connected', onConnected))
  return {
    breakAll(code) {
      const { size } = sockets
      for (const socket of sockets) socket.destroy(Object.assign(new Error(`read ${code}`), { code }))
      return size
    }
  }
}
