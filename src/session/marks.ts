import { setTimeout as sleep } from 'node:timers/promises'
import type { Log } from '../log.ts'
import { epochOf } from './recorded-leg.ts'
import type { Session } from './session.ts'
import type { SessionStore } from './store.ts'
import { storeFailed } from './store-failed.ts'

/** What others have to know is told again where the store was away, so often and after so many ms. */
const TRIES = 40
const AGAIN = 250

/** What processes that share a store tell each other of a session whose server has lost it, for some minutes. */
export class Marks {
  /** Undefined: there are no others. */
  readonly #store: SessionStore | undefined
  readonly #log: Log

  constructor(store: SessionStore | undefined, log: Log) {
    this.#store = store
    this.#log = log
  }

  /** The present server has asked this (`idKey`), and another process may get the answer. */
  asked(session: Session, key: string): void {
    this.#mark(session, questionOf(session, key))
  }

  /** Events of the present server have ids: a client may name one of them to another process. */
  hasIds(session: Session): void {
    this.#mark(session, idsOf(session))
  }

  /** Whether another process knows that they have; undefined: there is no other. */
  hadIds(session: Session): Promise<boolean> | undefined {
    return this.#soon(session, idsOf(session))
  }

  /** Whether it has asked so where another process heard it; undefined: there is no other. Where nobody knows, it may have. */
  wasAsked(session: Session, key: string): Promise<boolean> | undefined {
    return this.#soon(session, questionOf(session, key))
  }

  /** Who knows it may be about to tell. */
  #soon(session: Session, mark: string): Promise<boolean> | undefined {
    return this.#marked(session, mark)?.then(async known => {
      if (known) return true
      await sleep(AGAIN)
      return (await this.#marked(session, mark)) ?? false
    })
  }

  /** A store that is away for a moment is told a little later. */
  #mark(session: Session, mark: string, tries = TRIES): void {
    if (!session.stored || session.ended) return
    this.#store?.mark?.(session.id, mark).catch(error => {
      if (tries <= 1) return storeFailed(this.#log, error)
      setTimeout(() => this.#mark(session, mark, tries - 1), AGAIN).unref()
    })
  }

  #marked(session: Session, mark: string): Promise<boolean> | undefined {
    if (!session.stored) return undefined
    return this.#store?.marked?.(session.id, mark).catch(error => {
      storeFailed(this.#log, error)
      return true
    })
  }
}

function questionOf({ record }: Session, key: string): string {
  return `asked ${epochOf(record)} ${key.slice(0, 160)}`
}

function idsOf({ record }: Session): string {
  return `ids ${epochOf(record)}`
}
