import type { Socket } from 'node:net'
import type { Server, TLSSocket, TlsOptions } from 'node:tls'
import { keepPrincipal } from './tls-peer.ts'

/** PEM texts. */
export interface TlsTexts {
  readonly certificate: string
  readonly key: string
  /** Clients must present a certificate that one of these has signed. */
  readonly clientCa?: string
}

/** In place of certificates: keys that both ends have (`pskServerOptions`). */
export interface TlsKeys {
  readonly psk: TlsOptions
}

export interface TlsDoorOptions {
  /** What is offered by ALPN, the most wanted first. */
  readonly protocols: readonly string[]
  /** How long a handshake may take, in ms. */
  readonly handshakeTimeout: number
  readonly secured: (socket: TLSSocket) => void
  /** A handshake came to nothing. */
  readonly failed: () => void
}

// Loaded with this module, which is loaded where TLS is asked for.
const { createServer } = process.getBuiltinModule('node:tls')

/** Makes encrypted connections of those that others have accepted. */
export class TlsDoor {
  readonly #options: TlsDoorOptions
  readonly #keyed: boolean
  #server: Server

  /** Throws a TypeError for texts that are no certificates or keys, or do not fit each other. */
  constructor(texts: TlsTexts | TlsKeys, options: TlsDoorOptions) {
    this.#options = options
    this.#keyed = 'psk' in texts
    this.#server = this.#make(texts)
  }

  /** What is returned goes over to these from the next connection on; those that are made keep theirs. Throws as the constructor does. */
  prepared(texts: TlsTexts): () => void {
    const server = this.#make(texts)
    return () => {
      this.#server = server
    }
  }

  accept(socket: Socket): void {
    // Instances close both ways at once: who leaves before a handshake would else stay for as long as that may take.
    if (this.#keyed) socket.allowHalfOpen = false
    this.#server.emit('connection', socket)
  }

  /** It never listens, so that there is nothing of it to close. */
  #make(texts: TlsTexts | TlsKeys): Server {
    const { protocols, handshakeTimeout, secured, failed } = this.#options
    const own = 'psk' in texts ? texts.psk : certified(texts)
    const server = made({ ...own, ALPNProtocols: [...protocols], handshakeTimeout })
    server.on('secureConnection', (socket: TLSSocket) => {
      if (own.requestCert) keepPrincipal(socket)
      secured(socket)
    })
    server.on('tlsClientError', (_error: Error, socket: TLSSocket) => {
      failed()
      socket.destroy()
    })
    return server
  }
}

function certified({ certificate, key, clientCa }: TlsTexts): TlsOptions {
  return {
    cert: certificate,
    key,
    ca: clientCa,
    requestCert: clientCa !== undefined,
    rejectUnauthorized: clientCa !== undefined,
    minVersion: 'TLSv1.2'
  }
}

function made(options: Parameters<typeof createServer>[0]): Server {
  try {
    return createServer(options)
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error)
    throw new TypeError(`tls: certificate, key or clientCa cannot be used: ${text}`, { cause: error })
  }
}
