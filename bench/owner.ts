/** Whatever a run starts is ended with it: in reverse order, also after a failure and on Ctrl-C. */
export class Owner {
  readonly #endings: (() => unknown)[] = []
  #ended = false

  /** Nothing more is to be started. */
  get ended(): boolean {
    return this.#ended
  }

  add(end: () => unknown): void {
    this.#endings.push(end)
  }

  /** Ends everything once, even if some of it fails; says what failed. */
  async end(): Promise<string[]> {
    this.#ended = true
    const failures: string[] = []
    for (let end = this.#endings.pop(); end; end = this.#endings.pop()) {
      try {
        await end()
      } catch (error) {
        failures.push(reasonOf(error))
      }
    }
    return failures
  }
}

/** One line, with what lay behind it. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause === undefined ? error.message : `${error.message}: ${reasonOf(error.cause)}`
}

/** The same promise, or an error that says what was waited for. */
export async function within<T>(ms: number, what: string, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${ms} ms`)), ms)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
