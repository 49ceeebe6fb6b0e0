import { idKey } from '../../protocol/id.ts'
import type { Message } from '../../protocol/message.ts'
import { Queue } from '../../queue.ts'
import type { HttpWatch } from '../upstream.ts'
import type { HttpUpstream } from './http.ts'
import { Post, type PostHandlers, type PostOutcome } from './sse-post.ts'

export interface OutboxOptions {
  /** Bytes that may wait for the server to take them. */
  readonly maxBytes: number
  /** How long what follows a notification or an answer waits for the server to take that, in ms. Default 5000. */
  readonly orderWait?: number
  /** How long the server may take with what nobody waits for, in ms. Default 30,000. */
  readonly unheardWait?: number
}

export interface OutboxHandlers {
  done(message: Message, outcome: PostOutcome): void
  /** There is room again. */
  drained(): void
  readonly watch?: HttpWatch
}

/**
 * Messages on their way to the server, each a POST of its own. Requests go at once and side by side; what stands behind a
 * notification or an answer goes when the server has taken that, or the server could see them in another order.
 */
export class Outbox implements PostHandlers {
  readonly #upstream: HttpUpstream
  readonly unheardWait: number
  readonly watch: HttpWatch | undefined
  readonly #maxBytes: number
  readonly #orderWait: number
  readonly #handlers: OutboxHandlers
  readonly #waiting = new Queue<Post>()
  readonly #sent = new Set<Post>()
  /** By the id of the request they carry. */
  readonly #requests = new Map<string, Post>()
  #path: string | undefined
  #barrier: Post | undefined
  #timer: NodeJS.Timeout | undefined
  #bytes = 0
  #full = false
  #closed = false

  constructor(upstream: HttpUpstream, options: OutboxOptions, handlers: OutboxHandlers) {
    this.#upstream = upstream
    this.#maxBytes = options.maxBytes
    this.#orderWait = options.orderWait ?? 5_000
    this.unheardWait = options.unheardWait ?? 30_000
    this.#handlers = handlers
    this.watch = handlers.watch
  }

  /** The server has said where to POST. */
  open(path: string): void {
    this.#path = path
    this.#pump()
  }

  /** False: more waits than there is room for; `drained` follows. */
  push(message: Message, headers: readonly string[]): boolean {
    if (this.#closed) return true
    const post = new Post(message, headers, this)
    if (message.kind === 'request') this.#requests.set(idKey(message.idText!), post)
    this.#bytes += message.bytes.length
    this.#waiting.push(post.place)
    this.#pump()
    this.#full = this.#bytes > this.#maxBytes
    return !this.#full
  }

  /** Nobody waits for the answer to this request any more. */
  unheard(key: string): void {
    const post = this.#requests.get(key)
    if (!post) return
    if (post.sent) return post.unheard()
    this.#requests.delete(key)
    this.#waiting.remove(post.place)
    this.#release(post)
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
    for (const post of this.#sent) post.cancel()
    this.#sent.clear()
    this.#requests.clear()
    for (let place = this.#waiting.head; place; place = this.#waiting.head) this.#waiting.remove(place)
  }

  arrived(post: Post): void {
    this.#release(post)
    this.#pass(post)
  }

  done(post: Post, outcome: PostOutcome): void {
    this.#sent.delete(post)
    if (post.message.idText !== undefined) {
      const key = idKey(post.message.idText)
      if (this.#requests.get(key) === post) this.#requests.delete(key)
    }
    if ('error' in outcome) this.#release(post)
    this.#handlers.done(post.message, outcome)
    this.#pass(post)
  }

  #pump(): void {
    while (this.#path !== undefined && !this.#barrier && !this.#closed) {
      const place = this.#waiting.head
      if (!place) return
      const post = place.value
      this.#waiting.remove(place)
      this.#sent.add(post)
      if (post.message.kind !== 'request') {
        this.#barrier = post
        this.#timer = setTimeout(() => this.#pass(post), this.#orderWait)
      }
      post.send(this.#upstream, this.#path)
    }
  }

  #pass(post: Post): void {
    if (this.#barrier !== post) return
    clearTimeout(this.#timer)
    this.#barrier = undefined
    this.#pump()
  }

  #release(post: Post): void {
    this.#bytes -= post.message.bytes.length
    if (!this.#full || this.#bytes > this.#maxBytes || this.#closed) return
    this.#full = false
    this.#handlers.drained()
  }
}
