import { idKey } from '../protocol/id.ts'
import type { Message } from '../protocol/message.ts'
import { declares, needs } from './capabilities.ts'
import { Line, Standing } from './line.ts'
import type { Play } from './play.ts'
import type { Said } from './recording.ts'
import type { ReplaySession } from './replay-session.ts'
import { divergence, placed } from './report.ts'
import type { Waiting } from './sequence.ts'

interface Ask {
  readonly said: Said
  readonly play: Play | undefined
  readonly idText: string
  /** Where the client's answer came. */
  readonly place: Standing
}

/** Servers that ask and ask without being answered. */
const MAX_ASKS = 1024

/** What the server asks the client in one replay: under ids of its own, and what the client answers. */
export class Asks {
  readonly #session: ReplaySession
  readonly #open = new Map<string, Ask>()
  readonly #line: Line
  #minted = 0

  constructor(session: ReplaySession, wake: (one: Waiting) => void) {
    this.#session = session
    this.#line = new Line(wake)
  }

  /** Only clients that have said they can answer are asked; with others, all goes on as if they had. */
  ask(said: Said, message: Message, play: Play | undefined): void {
    const session = this.#session
    const needed = needs(said.method, (message.json as { params?: unknown }).params)
    if (needed && !declares(play?.declared ?? session.declared, needed)) return session.settled(said)
    const idText = this.mint(message.idText!)
    const place = new Standing()
    this.#open.set(idKey(idText), { said, play, idText, place })
    if (said.answer) this.#line.move(place, said.answer.order)
    if (this.#open.size > MAX_ASKS) this.#forgetOldest()
    session.say(message.withId(idText), said.owned ? play : undefined)
  }

  /** An id that no other question has, of the same JSON type. */
  mint(like: string): string {
    this.#minted++
    return like.startsWith('"') ? `"replay-${this.#minted}"` : String(this.#minted)
  }

  /** One whose answer came before this. */
  before(order: number): Standing | undefined {
    return this.#line.before(order)
  }

  answer(message: Message): void {
    const key = message.idText === undefined ? undefined : idKey(message.idText)
    const ask = key === undefined ? undefined : this.#open.get(key)
    if (key === undefined || !ask) return
    this.#close(key, ask)
    const { said } = ask
    const found = said.answer ? this.#session.replay.divergences.of(said, said.answer, message) : []
    if (found.length > 0) this.#diverged(ask, found)
    this.#session.settled(said)
  }

  /** The server takes its question back. Returns the name that the client has for it. */
  takeBack(recordedId: string): string | undefined {
    const wanted = idKey(recordedId)
    for (const [key, ask] of this.#open) {
      const { said, idText } = ask
      if (said.id === undefined || idKey(said.id) !== wanted) continue
      this.#close(key, ask)
      this.#session.settled(said)
      return idText
    }
    return undefined
  }

  /** Nobody waits for the answers to what this request brought. */
  drop(play: Play): void {
    if (this.#open.size === 0) return
    for (const [key, ask] of this.#open) if (ask.play === play) this.#close(key, ask)
  }

  #close(key: string, { place }: Ask): void {
    this.#open.delete(key)
    this.#line.leave(place)
  }

  #forgetOldest(): void {
    for (const [key, ask] of this.#open) {
      this.#close(key, ask)
      return this.#session.settled(ask.said)
    }
  }

  #diverged({ said, play }: Ask, found: readonly string[]): void {
    const { replay } = this.#session
    const text = `The client answers ${said.method} otherwise than recorded.`
    replay.diverged({ method: said.method, ...placed(said.answer!.place), text, difference: found })
    if (replay.onDivergence !== 'error') return
    const failing = play ?? this.#session.waitsFor(said)
    failing?.fail(divergence(text, said.method, found))
  }
}
