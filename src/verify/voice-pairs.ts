import { canonicalText } from '../replay/canonical.ts'
import { ANNOUNCEMENTS } from './announcements.ts'
import type { Voice } from './voices.ts'

export type VoicePair = readonly [old: Voice | undefined, now: Voice | undefined]

/** Of those that are not equal as they are, no more are compared by the rules. */
const MAX_COMPARED = 10_000

/**
 * Which of what was said at large stands for which, wherever it stands: equal ones first, then those that are equal by the rules,
 * then those of one kind; each time those first that came with the same request. What has no partner stands alone. That
 * something has changed may be said once or several times.
 */
export function voicePairs(
  before: readonly Voice[],
  after: readonly Voice[],
  isSame: (old: Voice, now: Voice) => boolean
): VoicePair[] {
  const pairing = new Pairing(distinct(before), distinct(after))
  let left = MAX_COMPARED
  const alike = (old: Voice, now: Voice): boolean => left-- > 0 && isSame(old, now)
  const sure = (old: Voice, now: Voice): boolean => !old.isChance && !now.isChance
  pairing.round(v => `${bySubject(v)} ${textOf(v)}`)
  pairing.round(v => `${v.method} ${textOf(v)}`)
  pairing.round(bySubject, alike)
  pairing.round(v => v.method, alike)
  pairing.round(bySubject, sure)
  pairing.round(v => v.method, sure)
  return pairing.all
}

function bySubject({ method, asked }: Voice): string {
  return `${method} ${asked?.order ?? ''}`
}

const texts = new WeakMap<Voice, string>()

function textOf(voice: Voice): string {
  let text = texts.get(voice)
  if (text === undefined) texts.set(voice, (text = canonicalText(voice.body)))
  return text
}

function distinct(voices: readonly Voice[]): Voice[] {
  const known = new Map<string, Voice>()
  return voices.filter(voice => {
    if (!ANNOUNCEMENTS.test(voice.method)) return true
    const text = textOf(voice)
    if (known.has(text)) return false
    known.set(text, voice)
    return true
  })
}

class Pairing {
  readonly #pairs: VoicePair[] = []
  #old: readonly Voice[]
  #now: readonly Voice[]

  constructor(before: readonly Voice[], after: readonly Voice[]) {
    this.#old = before
    this.#now = after
  }

  /** Those of one group meet in their order, where they may. */
  round(groupOf: (voice: Voice) => string, mayMeet: (old: Voice, now: Voice) => boolean = () => true): void {
    if (this.#old.length === 0 || this.#now.length === 0) return
    const groups = new Map<string, Set<Voice>>()
    for (const now of this.#now) {
      const group = groups.get(groupOf(now))
      if (group) group.add(now)
      else groups.set(groupOf(now), new Set([now]))
    }
    const taken = new Set<Voice>()
    this.#old = this.#old.filter(old => {
      const group = groups.get(groupOf(old)) ?? []
      for (const now of group) {
        if (!mayMeet(old, now)) continue
        ;(group as Set<Voice>).delete(now)
        taken.add(now)
        this.#pairs.push([old, now])
        return false
      }
      return true
    })
    this.#now = this.#now.filter(now => !taken.has(now))
  }

  get all(): VoicePair[] {
    const gone = this.#old.map((old): VoicePair => [old, undefined])
    const come = this.#now.map((now): VoicePair => [undefined, now])
    return [...this.#pairs, ...gone, ...come]
  }
}
