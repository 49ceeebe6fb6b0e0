/**
 * Latencies in buckets that grow with what they hold: each power of two is divided into 128, so that a value is known to
 * better than 1 % from 1 µs to over an hour, in a fixed 16 KB.
 */
const PARTS = 128
const PART_BITS = 7
const POWERS = 25

export class Histogram {
  readonly #counts = new Uint32Array(PARTS * (POWERS + 1))
  #total = 0
  #max = 0

  /** A latency in ms. */
  add(ms: number): void {
    const us = Math.max(0, Math.round(ms * 1000))
    this.#counts[bucketOf(us)]!++
    this.#total++
    if (ms > this.#max) this.#max = ms
  }

  get total(): number {
    return this.#total
  }

  get max(): number {
    return this.#max
  }

  /** The latency in ms that so many percent stay within. */
  percentile(percent: number): number {
    if (percent >= 100) return this.#max
    // 99.9 % of 1000 is 999, whatever floating point makes of it.
    const wanted = Math.max(1, Math.ceil((this.#total * percent) / 100 - 1e-6))
    let seen = 0
    for (let i = 0; i < this.#counts.length; i++) {
      seen += this.#counts[i]!
      if (seen >= wanted) return Math.min(this.#max, latencyOf(i) / 1000)
    }
    return this.#max
  }
}

function bucketOf(us: number): number {
  if (us < PARTS) return us
  const power = Math.min(POWERS, 31 - Math.clz32(us) - PART_BITS + 1)
  return Math.min(PARTS * (POWERS + 1) - 1, power * PARTS + ((us >>> (power - 1)) - PARTS))
}

/** The middle of the bucket. */
function latencyOf(bucket: number): number {
  const power = Math.floor(bucket / PARTS)
  if (power === 0) return bucket
  const width = 2 ** (power - 1)
  return ((bucket % PARTS) + PARTS) * width + (width - 1) / 2
}
