import { setImmediate } from 'node:timers/promises'

/** Prometheus's text format, as it calls itself. */
export const TEXT_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

/** The text of a scrape. Who asks while one is made gets the same. */
export class SharedScrape {
  readonly #text: () => Iterable<string>
  #underWay: Promise<Buffer> | undefined

  constructor(text: () => Iterable<string>) {
    this.#text = text
  }

  get(): Promise<Buffer> {
    this.#underWay ??= this.#gather().finally(() => {
      this.#underWay = undefined
    })
    return this.#underWay
  }

  /** However long it gets, what is proxied does not wait for it. */
  async #gather(): Promise<Buffer> {
    const parts: Buffer[] = []
    for (const part of this.#text()) {
      parts.push(Buffer.from(part))
      await setImmediate()
    }
    return Buffer.concat(parts)
  }
}
