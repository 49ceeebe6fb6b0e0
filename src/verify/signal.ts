/** Waits for conditions that are looked at anew whenever something has happened. */
export class Happenings {
  readonly #waiting = new Set<() => void>()

  /** Something has happened. */
  happened(): void {
    for (const look of [...this.#waiting]) look()
  }

  /** Resolves once the condition holds (true), or after `ms` (false). */
  until(holds: () => boolean, ms: number): Promise<boolean> {
    if (holds()) return Promise.resolve(true)
    return new Promise(resolve => {
      const end = (value: boolean): void => {
        clearTimeout(timer)
        this.#waiting.delete(look)
        resolve(value)
      }
      const look = (): void => {
        if (holds()) end(true)
      }
      const timer = setTimeout(end, ms, false)
      this.#waiting.add(look)
    })
  }
}
