import { MARK } from '../tape/format.ts'
import { canonicalKey, canonicalText, countedParams, parseJson, type View } from './canonical.ts'
import { mayBeSameRedacted } from './marks.ts'
import type { RecordedNotification, RecordedRequest } from './recording.ts'
import type { RequestViews } from './request-view.ts'
import { isObject } from './values.ts'

/** What a client sent of its own accord. */
export type Sent = RecordedRequest | RecordedNotification

/**
 * Pairs what two clients sent by method and parameters, equal ones in their order; then what is equal but for what was redacted on
 * either side. In the order of the first; what the second has alone comes last.
 */
export function* sentPairs(
  a: () => Iterable<Sent>,
  b: () => Iterable<Sent>,
  views: RequestViews
): Generator<readonly [Sent, Sent | undefined] | readonly [undefined, Sent], void, void> {
  const waiting = new Waiting()
  for (const sent of b()) waiting.add(keyOf(sent, views), sent)
  waiting.close()
  // By the number that each has in its own recording.
  const partners = new Map<number, Sent>()
  const left: Sent[] = []
  for (const sent of a()) {
    const partner = waiting.next(keyOf(sent, views))
    if (partner) partners.set(sent.order, partner)
    else left.push(sent)
  }
  const rest = pairRedacted(left, waiting.left(), views, partners)
  for (const sent of a()) yield [sent, partners.get(sent.order)]
  for (const sent of rest) yield [undefined, sent]
}

/** Those of the second that have no partner, in order. */
function pairRedacted(
  a: readonly Sent[],
  b: readonly Sent[],
  views: RequestViews,
  partners: Map<number, Sent>
): readonly Sent[] {
  const marked = new MarkedPlaces(views)
  for (const sent of [...a, ...b]) marked.learn(sent)
  const waiting = new Waiting()
  for (const sent of b) {
    const key = marked.keyOf(sent)
    if (key !== undefined) waiting.add(key, sent)
  }
  waiting.close()
  const paired = new Set<Sent>()
  for (const sent of a) {
    const key = marked.keyOf(sent)
    const partner = key === undefined ? undefined : waiting.next(key, marked.fitting(sent))
    if (!partner) continue
    partners.set(sent.order, partner)
    paired.add(partner)
  }
  return b.filter(sent => !paired.has(sent))
}

/** Lists by key, from which is taken in order. */
class Waiting {
  readonly #lists = new Map<string, Sent[]>()

  add(key: string, sent: Sent): void {
    const list = this.#lists.get(key)
    if (list) list.push(sent)
    else this.#lists.set(key, [sent])
  }

  /** Turns the lists around, once, so that the first can be taken off the end. */
  close(): void {
    for (const list of this.#lists.values()) list.reverse()
  }

  /** The first that fits. */
  next(key: string, fits?: (sent: Sent) => boolean): Sent | undefined {
    const list = this.#lists.get(key)
    if (!list || !fits) return list?.pop()
    const last = Math.max(0, list.length - MAX_LOOKED_AT)
    for (let i = list.length - 1; i >= last; i--) if (fits(list[i]!)) return list.splice(i, 1)[0]
    return undefined
  }

  left(): Sent[] {
    return [...this.#lists.values()].flat().sort((x, y) => x.order - y.order)
  }
}

/** Of many that differ in what surrounds a mark alone, no more are tried. */
const MAX_LOOKED_AT = 16

interface Place extends View {
  readonly named: Map<string, Place>
  standIn?: () => string
}

/** Where texts that lost something stand, by method. */
class MarkedPlaces {
  readonly #views: RequestViews
  readonly #byMethod = new Map<string, Place>()
  #room = MAX_PLACES

  constructor(views: RequestViews) {
    this.#views = views
  }

  learn(sent: Sent): void {
    if (!sent.text.get().includes(MARK)) return
    const { method, params } = askedOf(sent)
    const onText = (path: readonly string[], text: string): void => {
      if (text.includes(MARK)) this.#add(method, path)
    }
    canonicalText(countedParams(params), { views: viewsOf(sent, this.#views), onText })
  }

  #add(method: string, path: readonly string[]): void {
    let place = childOf(this.#byMethod, method)
    for (const segment of path) {
      if (!place.named.has(segment) && --this.#room < 0) return
      place = childOf(place.named, segment)
    }
    place.standIn = standIn
  }

  /** Equal for all that are equal beside such places; undefined where there are none. */
  keyOf(sent: Sent): string | undefined {
    const { method, params } = askedOf(sent)
    const place = this.#byMethod.get(method)
    return place && canonicalKey(method, params, { views: [...viewsOf(sent, this.#views), place] })
  }

  /** Of another of the same key: whether the marks of either may stand for what the other has in their place. */
  fitting(sent: Sent): (other: Sent) => boolean {
    const { method, params } = askedOf(sent)
    const [place, own] = [this.#byMethod.get(method), countedParams(params)]
    return other => place !== undefined && fitAt(place, own, countedParams(askedOf(other).params))
  }
}

function childOf(places: Map<string, Place>, name: string): Place {
  let place = places.get(name)
  if (!place) places.set(name, (place = { named: new Map() }))
  return place
}

/** Marks in more places than these stand for themselves. */
const MAX_PLACES = 10_000

/** No JSON text is like this. */
const standIn = (): string => '?'

function fitAt(place: Place, a: unknown, b: unknown): boolean {
  if (place.standIn) return mayBeSameRedacted(a, b) || canonicalText(a) === canonicalText(b)
  if (!isContainer(a) || !isContainer(b)) return true
  for (const [name, below] of place.named)
    if (Object.hasOwn(a, name) && Object.hasOwn(b, name) && !fitAt(below, a[name], b[name])) return false
  return true
}

function isContainer(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}

function keyOf(sent: Sent, views: RequestViews): string {
  const { method, params } = askedOf(sent)
  return canonicalKey(method, params, { views: viewsOf(sent, views) })
}

function viewsOf(sent: Sent, views: RequestViews): readonly View[] {
  const ruled = views.of(sent.method, sent.kind === 'request' ? sent.subject : undefined)
  return sent.method === 'notifications/progress' ? [...ruled, TOKEN] : ruled
}

/** The server's name for a question of its own. */
const TOKEN: View = { named: new Map([['progressToken', { named: new Map(), ignored: true }]]) }

/** What cannot be read as a whole is its text, under a name that no method has. */
function askedOf(sent: Sent): { readonly method: string; readonly params: unknown } {
  const text = sent.text.get()
  const message = sent.kind === 'request' && sent.truncated ? undefined : readable(text)
  return message ? { method: sent.method, params: message.params } : { method: `${sent.method}\n`, params: text }
}

function readable(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const message = parseJson(text)
    return isObject(message) ? message : undefined
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}
