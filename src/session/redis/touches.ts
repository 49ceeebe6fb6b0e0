/** A session was used so many ms ago. */
export interface Use {
  readonly id: string
  readonly ago: number
}

export interface TouchesOptions {
  /** In ms; 0: each is told. */
  readonly every: number
  /** Uses that could not be told for so long, in ms, are of sessions that have expired. */
  readonly forgetAfter: number
  /** Of one part many are told in one go. */
  readonly partOf: (id: string) => number
  /** All of one part. Says of each whether it is there. */
  readonly tell: (uses: readonly Use[]) => Promise<readonly boolean[]>
}

interface Known {
  toldAt: number
  usedAt: number
  /** Is about to be told. */
  isDue: boolean
}

type Late = readonly [id: string, known: Known]

/** So many are told in one go; and so many goes are under way at once, so that requests get their turn. */
const BATCH = 128
const AT_ONCE = 4

/** A session's uses are told at once, and then no more often than so. */
export class Touches {
  readonly #options: TouchesOptions
  readonly #known = new Map<string, Known>()
  readonly #timer: NodeJS.Timeout | undefined
  #telling: Promise<boolean> | undefined

  constructor(options: TouchesOptions) {
    this.#options = options
    if (options.every > 0) this.#timer = setInterval(() => void this.#tellLate(), options.every).unref()
  }

  touch(id: string): true | Promise<boolean> {
    const { every } = this.#options
    if (every === 0) return this.#tell(id)
    const now = performance.now()
    const known = this.#known.get(id)
    if (known && (known.isDue || now - known.toldAt < every)) {
      known.usedAt = now
      return true
    }
    this.#known.set(id, { toldAt: now, usedAt: now, isDue: false })
    return this.#first(id)
  }

  async #tell(id: string): Promise<boolean> {
    const [there] = await this.#options.tell([{ id, ago: 0 }])
    return there === true
  }

  async #first(id: string): Promise<boolean> {
    let there = false
    try {
      there = await this.#tell(id)
    } finally {
      if (!there) this.#known.delete(id)
    }
    return there
  }

  forget(id: string): void {
    this.#known.delete(id)
  }

  /** What was used since it was told. False: not all could be told; that is tried again the next time. */
  #tellLate(): Promise<boolean> {
    this.#telling ??= this.#tellBatches().finally(() => {
      this.#telling = undefined
    })
    return this.#telling
  }

  async #tellBatches(): Promise<boolean> {
    const batches = this.#late()
    const waiting = [...batches].reverse()
    const worker = async (): Promise<void> => {
      for (let batch = waiting.pop(); batch; batch = waiting.pop()) await this.#tellBatch(batch)
    }
    const failed = (): boolean => {
      waiting.length = 0
      return false
    }
    const ended = await Promise.all(Array.from({ length: AT_ONCE }, () => worker().then(() => true, failed)))
    // Who uses one that was not reached finds out itself how Redis is.
    for (const batch of batches) for (const [, known] of batch) known.isDue = false
    return !ended.includes(false)
  }

  #late(): Late[][] {
    const { every, forgetAfter, partOf } = this.#options
    const now = performance.now()
    const batches: Late[][] = []
    const open = new Map<number, Late[]>()
    for (const late of this.#known) {
      const [id, known] = late
      const isLate = known.usedAt > known.toldAt
      if (now - (isLate ? known.usedAt : known.toldAt) >= (isLate ? forgetAfter : every)) this.#known.delete(id)
      if (!isLate) continue
      known.isDue = true
      const part = partOf(id)
      let batch = open.get(part)
      if (!batch || batch.length >= BATCH) {
        batch = []
        open.set(part, batch)
        batches.push(batch)
      }
      batch.push(late)
    }
    return batches
  }

  async #tellBatch(batch: readonly Late[]): Promise<void> {
    const now = performance.now()
    const there = await this.#options.tell(batch.map(([id, { usedAt }]) => ({ id, ago: now - usedAt })))
    for (const [i, [id, known]] of batch.entries()) {
      known.toldAt = now
      known.isDue = false
      // Who asks next finds out that it is gone.
      if (!there[i] && this.#known.get(id) === known) this.#known.delete(id)
    }
  }

  /** Tells the rest, unless Redis does not answer. */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    if ((await this.#telling) !== false) await this.#tellLate()
    this.#known.clear()
  }
}
