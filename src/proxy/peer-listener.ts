import type { CatflapError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { ClusterKey } from '../transport/psk.ts'
import type { Core } from './core.ts'
import type { Settings } from './options.ts'

export interface PeerRoute {
  readonly core: Core
  before?(session: string, principal: string): Promise<CatflapError | undefined>
}

export interface PeerListenerOptions {
  readonly host: string
  readonly port: number
  readonly keys: readonly ClusterKey[]
  readonly settings: Settings
  readonly log: Log
  readonly instance: () => string
  readonly route: (name: string, session: string) => PeerRoute | undefined
}

export declare class PeerListener {
  constructor(options: PeerListenerOptions)
  listen(): Promise<{ address: string; port: number }>
  close(): Promise<void>
}
