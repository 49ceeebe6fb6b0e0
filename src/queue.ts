/**
 * A doubly linked queue whose nodes move in O(1). An insertion-ordered Map would look the same, but V8 leaves a hole where a
 * key was deleted and walks all holes to find the first key, so that "move to the end, look at the head" costs O(n) there.
 *
 * For things that come and go with every message a Set is worse still: it is rebuilt every few dozen of them, each old table
 * points to its successor, and once one is in V8's old space all that the later ones held survives to the next full collection.
 */
export class Queue<T> {
  #head: QueueNode<T> | undefined
  #tail: QueueNode<T> | undefined
  #size = 0

  get head(): QueueNode<T> | undefined {
    return this.#head
  }

  get size(): number {
    return this.#size
  }

  /** Puts the node at the end; takes it out of the queue it is in. */
  push(node: QueueNode<T>): void {
    node.queue?.remove(node)
    node.queue = this
    node.previous = this.#tail
    if (this.#tail) this.#tail.next = node
    else this.#head = node
    this.#tail = node
    this.#size++
  }

  /** From the head; the value at hand may be removed meanwhile. */
  *[Symbol.iterator](): Generator<T> {
    for (let node = this.#head; node; ) {
      const { next, value } = node
      yield value
      node = next
    }
  }

  /** Nothing happens when the node is elsewhere. */
  remove(node: QueueNode<T>): void {
    if (node.queue !== this) return
    if (node.previous) node.previous.next = node.next
    else this.#head = node.next
    if (node.next) node.next.previous = node.previous
    else this.#tail = node.previous
    node.queue = node.previous = node.next = undefined
    this.#size--
  }
}

/** In one queue at a time. The links belong to the queue. */
export class QueueNode<T> {
  readonly value: T
  queue: Queue<T> | undefined
  previous: QueueNode<T> | undefined
  next: QueueNode<T> | undefined

  constructor(value: T) {
    this.value = value
  }
}
