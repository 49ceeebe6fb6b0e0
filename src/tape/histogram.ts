/** Each bucket is so much wider than the one before: what is read off is wrong by at most half of it, 1 %. */
const GROWTH = 1.02
const LOG = Math.log(GROWTH)
/** Below, all are equal: ms. */
const SMALLEST = 0.001
/** Two weeks and more, in buckets. */
const LAST = Math.ceil(Math.log(1e9 / SMALLEST) / LOG)

/** Latencies in bounded memory, of which quantiles are known with bounded error. */
export class Histogram {
  #buckets: Uint32Array | undefined
  #count = 0

  get count(): number {
    return this.#count
  }

  add(ms: number): void {
    const bucket = ms > SMALLEST ? Math.min(LAST, Math.ceil(Math.log(ms / SMALLEST) / LOG)) : 0
    this.#buckets ??= new Uint32Array(LAST + 1)
    this.#buckets[bucket]!++
    this.#count++
  }

  /** Of `q` between 0 and 1, by nearest rank. Undefined where nothing was added. */
  quantile(q: number): number | undefined {
    let rank = Math.max(1, Math.ceil(q * this.#count))
    for (const [bucket, count] of this.#buckets?.entries() ?? []) {
      rank -= count
      if (rank <= 0) return bucket === 0 ? SMALLEST : SMALLEST * GROWTH ** (bucket - 0.5)
    }
    return undefined
  }
}
