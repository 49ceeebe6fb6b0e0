import type { Argv, Running } from './process.ts'

/** What a peer is put in front of. */
export type Target = { readonly url: string } | { readonly command: Argv }

export interface Peer extends Running {
  /** Where its metrics are read, if it has any. */
  readonly metrics?: string
  /** Where operators ask it to drain, if they can. */
  readonly admin?: Admin
  /** The tape it writes, if it does. */
  readonly tape?: string
  /** It answers out of a tape: with the ids that it is asked with. */
  readonly replays?: true
  /** It has its sessions in common with others. */
  readonly shared?: Shared
  /** It has read a tape, and printed so many lines. */
  readonly lines?: number
}

export interface Shared {
  /** Those that stand beside it. */
  readonly others: readonly Running[]
  /** In ms. */
  readonly lease: number
  /** What the store has, in bytes. */
  used(): Promise<number>
  /** How much it was asked so far. */
  commands(): Promise<number>
}

export interface Admin {
  readonly url: string
  readonly token: string
}

/**
 * Where a program's usual form is much slower than its best, both take part in these scenarios, under names that tell them
 * apart; the best alone in others.
 */
export const DEFAULT_FORMS_IN: readonly string[] = ['small', 'one-connection', 'half-load']

/** Something that can stand where catflap stands. */
export interface PeerKind {
  readonly name: string
  /** A line for people. */
  readonly says: string
  readonly fronts: readonly ('http' | 'stdio')[]
  /** It takes part in these scenarios, and in those that name it. Without this: in all that name nobody. */
  readonly only?: readonly string[]
  /** The peer that it is an earlier or later form of: it takes part wherever that one does. */
  readonly twinOf?: string
  /** Why it cannot be started here, with what to do about it. */
  unable?(): Promise<string | undefined>
  /** `folder` is its own, and is removed after the run. */
  start(target: Target, folder: string): Promise<Peer>
}

export function urlOf(target: Target): string {
  if (!('url' in target)) throw new Error('this peer stands in front of a URL only')
  return target.url
}
