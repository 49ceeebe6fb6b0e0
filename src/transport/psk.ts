import { hkdfSync, randomBytes } from 'node:crypto'
import type { ConnectionOptions, TlsOptions } from 'node:tls'

/**
 * TLS between instances, with a key that both have and no certificates: each end proves to the other that it has the key, or there is no
 * connection (RFC 5489). An ephemeral exchange besides keeps what was said secret from whoever learns the key later.
 */

/** What of a cluster key's text the wire needs. */
export interface ClusterKey {
  /** Which key it is. Goes over the wire in the clear. */
  readonly identity: string
  readonly psk: Buffer
}

/** Shorter ones could be found by trying, for whoever has seen a handshake. */
const SHORTEST = 32
const SALT = 'catflap cluster key'

// Before TLS 1.3, a new handshake could begin within a connection, and one could be taken up again by a ticket. Neither is of use here: the
// first is work that a peer can demand without end, the second would let in for a while who has a key that was taken away.
const NO_RENEGOTIATION = 0x4000_0000
const NO_TICKET = 0x4000

// With pre-shared keys, TLS 1.3 of Node knows resumption alone.
const COMMON = {
  ciphers: 'ECDHE-PSK-CHACHA20-POLY1305',
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.2',
  secureOptions: NO_RENEGOTIATION | NO_TICKET
} as const

/** Throws a RangeError for texts that are too short, and where there is none. */
export function clusterKeys(texts: readonly string[]): readonly ClusterKey[] {
  if (texts.length === 0) throw new RangeError('a cluster needs a key')
  return texts.map(text => {
    if (text.length < SHORTEST) throw new RangeError(`a cluster key needs at least ${SHORTEST} characters`)
    return { identity: `catflap-${derived(text, 'identity', 9).toString('base64url')}`, psk: derived(text, 'psk', 32) }
  })
}

function derived(text: string, use: string, length: number): Buffer {
  return Buffer.from(hkdfSync('sha256', text, SALT, use, length))
}

/** Any of these keys is accepted. */
export function pskServerOptions(keys: readonly ClusterKey[]): TlsOptions {
  const known = new Map(keys.map(({ identity, psk }) => [identity, psk]))
  // Who names a key that is not ours fails where one with a wrong key does, and cannot tell which it was (RFC 4279 §2).
  const nobodys = randomBytes(32)
  return { ...COMMON, pskCallback: (_socket, identity) => known.get(identity) ?? nobodys }
}

/** The first of these keys is presented. */
export function pskClientOptions(keys: readonly ClusterKey[]): ConnectionOptions {
  const [first] = keys
  if (!first) throw new RangeError('a cluster needs a key')
  // There is no certificate to look for a name in: who has the key is who is meant.
  return { ...COMMON, pskCallback: () => first, checkServerIdentity: () => undefined }
}
