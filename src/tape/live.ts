import { randomBytes, timingSafeEqual } from 'node:crypto'
import { chmod } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import type { FrameBus, FrameSubscriber } from './bus.ts'
import { FrameEncoder, lineOf } from './encoder.ts'
import { reasonOf, TapeError, type TapeSoftware, type TapeTarget } from './format.ts'
import type { Frame } from './frame.ts'
import type { Redactor } from './redact.ts'
import {
  describe,
  openRuntimeFolder,
  type Place,
  placeIn,
  remove,
  removeStale,
  runtimeFolder
} from './runtime-folder.ts'
import { DEFAULT_MAX_MESSAGE, exceeds, truncateSync } from './truncate.ts'

export interface LiveFeedOptions {
  readonly target: TapeTarget
  readonly software: TapeSoftware
  readonly redactor: Redactor
  /** Where clients connect, for people to tell processes apart. */
  readonly url?: string
  /** Default: the user's runtime folder. */
  readonly folder?: string
  /** What may wait for a slow watcher; beyond it, it loses frames. Default 8 MiB. */
  readonly maxQueueBytes?: number
  /** Default 16. */
  readonly maxWatchers?: number
  /** Default 8 MiB. */
  readonly maxMessage?: number
}

/** How long (ms) one who connects may take to say the key. */
const GREETING_TIMEOUT = 5000
const MAX_GREETING = 256

interface Watcher {
  readonly socket: Socket
  readonly base: number
  n: number
  dropped: number
}

/**
 * Serves frames to other processes of the same user (`catflap tail`), in the format of a tape. It subscribes to the bus
 * only while somebody watches, and a watcher that does not keep up loses frames and is told how many.
 */
export class LiveFeed implements FrameSubscriber {
  readonly #bus: FrameBus
  readonly #options: LiveFeedOptions
  readonly #encoder: FrameEncoder
  readonly #place: Place
  readonly #key = randomBytes(24).toString('base64url')
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #watchers = new Set<Watcher>()
  #unsubscribe: (() => void) | undefined
  #queue: Frame[] = []
  #queuedBytes = 0
  #lost = 0
  #scheduled: NodeJS.Immediate | undefined

  private constructor(bus: FrameBus, options: LiveFeedOptions, place: Place) {
    this.#bus = bus
    this.#options = options
    this.#encoder = new FrameEncoder(options.redactor)
    this.#place = place
    this.#server = createServer(socket => this.#connected(socket))
  }

  /** Throws TapeError `runtime_folder`: a reason to warn, not to stop. */
  static async open(bus: FrameBus, options: LiveFeedOptions): Promise<LiveFeed> {
    const folder = options.folder ?? runtimeFolder()
    await openRuntimeFolder(folder)
    await removeStale(folder)
    const feed = new LiveFeed(bus, options, await placeIn(folder))
    try {
      await feed.#listen()
    } catch (error) {
      await feed.close()
      throw new TapeError('runtime_folder', `catflap tail will not see this process: ${reasonOf(error)}`, error)
    }
    return feed
  }

  get watchers(): number {
    return this.#watchers.size
  }

  get socketPath(): string {
    return this.#place.socket
  }

  frame(frame: Frame): void {
    const cost = 512 + (frame.bytes?.length ?? 0)
    if (this.#queue.length > 0 && this.#queuedBytes + cost > this.#maxQueue) {
      this.#lost++
      return
    }
    this.#queue.push(frame)
    this.#queuedBytes += cost
    this.#scheduled ??= setImmediate(() => this.#send())
  }

  async close(): Promise<void> {
    this.#unsubscribe?.()
    this.#unsubscribe = undefined
    clearImmediate(this.#scheduled)
    if (this.#queue.length > 0) this.#send()
    for (const { socket } of this.#watchers) socket.end()
    this.#watchers.clear()
    const closed = new Promise<void>(resolve => this.#server.close(() => resolve()))
    await remove(this.#place.file)
    if (process.platform !== 'win32') await remove(this.#place.socket)
    // One that reads nothing more would keep us waiting for ever.
    const impatience = setTimeout(() => this.#destroyAll(), 500)
    for (const socket of this.#sockets) if (!socket.writableEnded) socket.destroy()
    await closed
    clearTimeout(impatience)
  }

  get #maxQueue(): number {
    return this.#options.maxQueueBytes ?? 8 * 1024 * 1024
  }

  async #listen(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(this.#place.socket, resolve)
    })
    // A running catflap is never kept alive by the mere chance that somebody might look.
    this.#server.unref()
    if (process.platform !== 'win32') await chmod(this.#place.socket, 0o600)
    await describe(this.#place.file, {
      pid: process.pid,
      started: new Date(performance.timeOrigin).toISOString(),
      target: this.#options.redactor.target(this.#options.target).target,
      ...(this.#options.url !== undefined && { url: this.#options.redactor.scrub(this.#options.url) }),
      socket: this.#place.socket,
      key: this.#key
    })
  }

  #connected(socket: Socket): void {
    this.#sockets.add(socket)
    socket.unref()
    socket.on('error', () => socket.destroy())
    socket.once('close', () => this.#sockets.delete(socket))
    if (this.#sockets.size > (this.#options.maxWatchers ?? 16)) {
      socket.destroy()
      return
    }
    let said = ''
    socket.setTimeout(GREETING_TIMEOUT, () => socket.destroy())
    const listen = (data: Buffer) => {
      said += data.toString('latin1')
      const end = said.indexOf('\n')
      if (end < 0 && said.length <= MAX_GREETING) return
      socket.off('data', listen)
      if (end >= 0 && this.#knows(said.slice(0, end))) this.#welcome(socket)
      else socket.destroy()
    }
    socket.on('data', listen)
  }

  #knows(key: string): boolean {
    const given = Buffer.from(key)
    const own = Buffer.from(this.#key)
    return given.length === own.length && timingSafeEqual(given, own)
  }

  #welcome(socket: Socket): void {
    socket.setTimeout(0)
    // Whatever else a watcher says is ignored, but its end must be noticed.
    socket.resume()
    const watcher: Watcher = { socket, base: performance.now(), n: 0, dropped: 0 }
    socket.once('close', () => {
      this.#watchers.delete(watcher)
      if (this.#watchers.size > 0) return
      this.#unsubscribe?.()
      this.#unsubscribe = undefined
      this.#queue = []
      this.#queuedBytes = 0
    })
    socket.on('drain', () => this.#tellDrops(watcher))
    socket.write(
      this.#encoder.header({ started: new Date(), target: this.#options.target, software: this.#options.software })
    )
    this.#watchers.add(watcher)
    this.#unsubscribe ??= this.#bus.subscribe(this)
  }

  #send(): void {
    this.#scheduled = undefined
    const queue = this.#queue
    const lost = this.#lost
    this.#queue = []
    this.#queuedBytes = 0
    this.#lost = 0
    const maxMessage = this.#options.maxMessage ?? DEFAULT_MAX_MESSAGE
    const bodies = queue.map(frame =>
      this.#encoder.body(exceeds(frame, maxMessage) ? truncateSync(frame, maxMessage) : frame)
    )
    for (const watcher of this.#watchers) {
      let text = ''
      for (const [i, body] of bodies.entries()) {
        // At least one always goes, or a single large frame could never pass.
        const waiting = watcher.socket.writableLength + text.length
        if (waiting > 0 && waiting + body.length > this.#maxQueue) watcher.dropped++
        else text += this.#dropNote(watcher) + lineOf(++watcher.n, queue[i]!.time - watcher.base, body)
      }
      watcher.dropped += lost
      if (text !== '') watcher.socket.write(text)
    }
  }

  #tellDrops(watcher: Watcher): void {
    const note = this.#dropNote(watcher)
    if (note !== '') watcher.socket.write(note)
  }

  /** Empty when nothing was lost. */
  #dropNote(watcher: Watcher): string {
    if (watcher.dropped === 0) return ''
    const time = performance.now()
    const count = watcher.dropped
    watcher.dropped = 0
    const text = `${count} ${count === 1 ? 'frame is' : 'frames are'} missing here: this watcher was too slow`
    const body = this.#encoder.body({
      time,
      side: 'client',
      dir: 'up',
      kind: 'note',
      note: 'dropped',
      text,
      data: { count }
    })
    return lineOf(++watcher.n, time - watcher.base, body)
  }

  #destroyAll(): void {
    for (const socket of this.#sockets) socket.destroy()
  }
}
