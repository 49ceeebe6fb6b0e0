import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'

const PRINCIPAL: unique symbol = Symbol('principal')

/** A certificate is looked at once, when its connection is made. */
type Certified = Socket & { [PRINCIPAL]?: string }

/** Who presented a certificate on this connection, as `cert:` and the beginning of its SHA-256; undefined where none was asked. */
export function tlsPrincipal(socket: Socket): string | undefined {
  return (socket as Certified)[PRINCIPAL]
}

export function isEncrypted(socket: Socket): boolean {
  return (socket as Partial<TLSSocket>).encrypted === true
}

/** Keeps who is at the other end of a connection whose handshake has succeeded. */
export function keepPrincipal(socket: TLSSocket): void {
  const digits = socket.getPeerX509Certificate()?.fingerprint256.replaceAll(':', '').toLowerCase()
  if (digits !== undefined) (socket as Certified)[PRINCIPAL] = `cert:${digits.slice(0, 16)}`
}
