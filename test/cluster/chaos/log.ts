/** What happened, in order; of a long run the end. */
const LONGEST = 2_000

export class Log {
  readonly #began = performance.now()
  readonly #lines: string[] = []

  add(text: string): void {
    this.#lines.push(`${(Math.round(performance.now() - this.#began) / 1000).toFixed(3).padStart(8)} ${text}`)
    if (this.#lines.length > LONGEST) this.#lines.splice(0, LONGEST / 4)
  }

  lines(): readonly string[] {
    return this.#lines
  }
}
