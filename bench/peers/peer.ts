import type { Argv, Running } from './process.ts'

/** What a peer is put in front of. */
export type Target = { readonly url: string } | { readonly command: Argv }

export interface Peer extends Running {
  /** Where its metrics are read, if it has any. */
  readonly metrics?: string
  /** The tape it writes, if it does. */
  readonly tape?: string
}

/** Something that can stand where catflap stands. */
export interface PeerKind {
  readonly name: string
  /** A line for people. */
  readonly says: string
  readonly fronts: readonly ('http' | 'stdio')[]
  /** Why it cannot be started here, with what to do about it. */
  unable?(): Promise<string | undefined>
  /** `folder` is its own, and is removed after the run. */
  start(target: Target, folder: string): Promise<Peer>
}

export function urlOf(target: Target): string {
  if (!('url' in target)) throw new Error('this peer stands in front of a URL only')
  return target.url
}
