import type { Leg } from '../upstream.ts'

export interface PeerTo {
  readonly route: string
  readonly instance: string
  readonly session: string
  readonly principal: string
  readonly remoteAddress?: string
}

export declare class Peers {
  constructor(options: { keys: readonly unknown[]; connectTimeout: number; maxPending: number; from: () => string })
  leg(address: string, to: PeerTo): Leg
  close(): Promise<void>
}
