import type { Awaitable, SessionStore } from './store.ts'

/** Where sessions are kept that several processes serve. */
export interface SharedStoreOptions {
  /** `redis://…`, `rediss://…`, `redis+sentinel://…`, `redis+cluster://…` (docs/sessions.md). */
  readonly url: string
  /** 32 bytes each. The first seals, any opens. None: what is kept lies in the clear. */
  readonly keys?: readonly Buffer[]
  /** Before all keys. Default `catflap:`. */
  readonly prefix?: string
  /** PEM text of certificate authorities to trust besides the system's. */
  readonly ca?: string
  /** Do not verify the certificate. */
  readonly insecure?: boolean
  /** Milliseconds for one operation, whatever Redis does. Default 3 seconds. */
  readonly timeout?: number
  /**
   * While Redis does not do its work: `fail` answers 503; with `local`, sessions over HTTP that this process knows go on from memory, and are written
   * back. Default `fail`.
   */
  readonly onFailure?: StoreFailure
  /** Milliseconds after which a process that was not heard of has lost what it alone holds. Default 10 seconds. */
  readonly lease?: number
}

export type StoreFailure = 'fail' | 'local'

/** Where other instances hand over what this one alone can do: clients have no business there. */
export interface ClusterOptions {
  /** Default 127.0.0.1, and any free port. */
  readonly listen: { readonly host?: string; readonly port?: number }
  /** `HOST:PORT` under which the others reach it. Default: what is listened on. */
  readonly address?: string
  /** Whoever has one of them is an instance. The first is presented, any is accepted. At least 32 characters each. */
  readonly keys: readonly string[]
}

/** What the sessions of one route may do. Times in ms. */
export interface StoreLimits {
  readonly maxSessions: number
  readonly idleTtl: number
  readonly maxTtl: number
}

/** How the store is doing, as far as is known without asking it. */
export interface SharedState {
  /** It did its work the last time it was asked, or was not asked yet. */
  readonly ok: boolean
  /** Why not; no secrets. */
  readonly reason?: string
  /** Epoch ms of the last change of `ok`. */
  readonly since: number
}

/** What several processes that stand side by side have in common. */
export interface Shared {
  /** For people; no password. */
  readonly label: string
  readonly state: SharedState
  readonly membership: Membership
  /** The sessions of one route; `name` keeps them apart from those of others. Closed by whoever uses it. */
  store(name: string, limits: StoreLimits): SessionStore
  /** Lets go of the lease, and of all connections. */
  close(): Promise<void>
}

/** Another process. */
export interface Instance {
  /** `HOST:PORT` where it takes what it alone can do; undefined: nowhere. */
  readonly address: string | undefined
}

/**
 * Who is there. What only one process can hold (a child, a client's pipe) has an owner: the name of a process, which is good as long as its
 * lease in the store. A process that was taken for gone never acts under its name again: it goes on under another one, and has lost what it held.
 */
export interface Membership {
  /** The name under which this process owns at this moment. */
  readonly id: string
  /** Surely so: the lease has not run out, by the clocks of this process. */
  readonly holds: boolean
  /**
   * Asks the store whether the lease still is ours. Resolves with the name it is held under: where that is another one than before, what was
   * owned is lost, which `onLost` has been told. Rejects with SessionStoreUnavailableError.
   */
  confirm(): Promise<string>
  /** An instance by its name; undefined: it is gone, or not known to live. What was found is remembered for a moment, unless it is to be `fresh`. */
  find(id: string, fresh?: boolean): Awaitable<Instance | undefined>
  /** Where others reach this process; told before it owns anything. */
  announce(address: string | undefined): Promise<void>
  /**
   * The instance is to be gone for good, if its lease has run out. True: it is, and everything it owned may be taken. False: it lives,
   * or it is too early to tell, as the store has lost what it knew: who asks again until then is told.
   * Of a lease that goes on and one that is ended so, exactly one happens.
   */
  depose(id: string): Promise<boolean>
  /** For so many ms, who asks for the holder of `name` hears of this process. One that holds it already is forgotten. */
  hold(name: string, ttl: number): Promise<void>
  /** The name of the process that holds it, which may be gone by now; undefined: none does. */
  holder(name: string): Promise<string | undefined>
  /** Is called with the former name when everything owned under it is lost. Returns how to stop that. */
  onLost(listener: (id: string) => void): () => void
}
