/** Work that takes less is not worth a bar, in ms. */
const PATIENCE = 1_000
const EVERY = 100
const WIDTH = 30

/** One line on a terminal that is written over itself, and taken away at the end. Elsewhere nothing is written. */
export class ProgressBar {
  readonly #stream: NodeJS.WriteStream
  readonly #startedAt = performance.now()
  #shownAt = 0

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream
  }

  readonly reading = (done: number, total: number): void => this.#show('reading', done, total)
  readonly sending = (done: number, total: number): void => this.#show('checking', done, total)

  end(): void {
    if (this.#shownAt > 0) this.#stream.write('\r\x1b[K')
    this.#shownAt = 0
  }

  #show(what: string, done: number, total: number): void {
    const now = performance.now()
    if (!this.#stream.isTTY || now - this.#startedAt < PATIENCE || now - this.#shownAt < EVERY) return
    this.#shownAt = now
    const part = total === 0 ? 1 : Math.min(1, done / total)
    const bar = '█'.repeat(Math.round(part * WIDTH)).padEnd(WIDTH, '░')
    this.#stream.write(`\r\x1b[K${what} ${bar} ${Math.floor(part * 100)} %`)
  }
}
