import type { Redis } from 'ioredis'

/** Who wants to hear what is told on a channel. */
export interface Hearer {
  heard(message: string): void
  /** What is told from now on may be missed. */
  lost(): void
  /** From now on everything is heard; before that something may have been missed. */
  again(): void
}

/** Until another node is tried, in ms. */
const PAUSE = 250

/** The one connection that hears what others tell: one that listens can do nothing else. It is there from the first channel on. */
export class Listener {
  readonly #open: () => Redis | undefined
  readonly #hearers = new Map<string, Set<Hearer>>()
  #connection: Redis | undefined
  #isReady = false
  #retry: NodeJS.Timeout | undefined
  #closed = false

  /** `open` gives a connection of its own, that may end for good (then it is asked for another one); nothing where there is no node known yet. */
  constructor(open: () => Redis | undefined) {
    this.#open = open
  }

  /** Returns how to stop. */
  listen(channel: string, hearer: Hearer): () => void {
    const hearers = this.#hearers.get(channel)
    if (hearers) hearers.add(hearer)
    else {
      this.#hearers.set(channel, new Set([hearer]))
      if (!this.#connection) this.#connect()
      else if (this.#isReady) void this.#subscribe(this.#connection, [channel])
    }
    return () => this.#stop(channel, hearer)
  }

  #stop(channel: string, hearer: Hearer): void {
    const hearers = this.#hearers.get(channel)
    if (!hearers?.delete(hearer) || hearers.size > 0) return
    this.#hearers.delete(channel)
    if (this.#isReady) this.#connection?.unsubscribe(channel).catch(() => {})
  }

  #connect(): void {
    if (this.#closed) return
    const connection = this.#open()
    if (!connection) return this.#later()
    this.#connection = connection
    connection.on('error', () => {})
    connection.on('message', (channel: string, message: string) => {
      for (const hearer of this.#hearers.get(channel) ?? []) hearer.heard(message)
    })
    connection.on('ready', () => {
      this.#isReady = true
      if (this.#hearers.size > 0) void this.#subscribe(connection, [...this.#hearers.keys()])
    })
    connection.on('close', () => {
      this.#isReady = false
      this.#each(this.#hearers.keys(), hearer => hearer.lost())
    })
    connection.on('end', () => this.#later())
  }

  #later(): void {
    if (this.#closed) return
    clearTimeout(this.#retry)
    this.#retry = setTimeout(() => this.#connect(), PAUSE * (0.75 + Math.random() / 2)).unref()
  }

  async #subscribe(connection: Redis, channels: readonly string[]): Promise<void> {
    try {
      await connection.subscribe(...channels)
    } catch {
      // Half a connection is worse than none: it hears nothing, and nobody knows.
      connection.disconnect(true)
      return
    }
    if (connection === this.#connection && this.#isReady) this.#each(channels, hearer => hearer.again())
  }

  /** A connection on which nothing comes any more shows only where it is asked. */
  check(): void {
    const connection = this.#connection
    if (connection && this.#isReady) connection.ping().catch(() => connection.disconnect(true))
  }

  #each(channels: Iterable<string>, tell: (hearer: Hearer) => void): void {
    for (const channel of channels) for (const hearer of this.#hearers.get(channel) ?? []) tell(hearer)
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#retry)
    this.#hearers.clear()
    this.#connection?.disconnect()
  }
}
