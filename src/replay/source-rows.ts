import type { TapeSource } from './tape-source.ts'

/** Which rows are of which tape: one tape is read after another. */
export class SourceRows {
  readonly #sources: { readonly from: number; readonly source: TapeSource }[] = []

  add(row: number, source: TapeSource): void {
    if (this.#sources.at(-1)?.source !== source) this.#sources.push({ from: row, source })
  }

  of(row: number): TapeSource {
    let low = 0
    let high = this.#sources.length
    while (high - low > 1) {
      const middle = (low + high) >> 1
      if (this.#sources[middle]!.from <= row) low = middle
      else high = middle
    }
    return this.#sources[low]!.source
  }
}
