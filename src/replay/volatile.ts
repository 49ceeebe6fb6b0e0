import { ExactNumber } from './exact-number.ts'

/** What changes by itself from one run of a server to the next: times, made-up identifiers, places on a disk. */
export type VolatileKind = 'time' | 'uuid' | 'port' | 'path' | 'number'

/** When the two texts were said, in ms since 1970: only times near them count. Without, any time does. */
export interface Moments {
  readonly before: number
  readonly after: number
}

/** Whether two values differ in parts of these kinds alone. */
export function differInVolatile(
  before: unknown,
  after: unknown,
  kinds: readonly VolatileKind[],
  moments?: Moments
): boolean {
  // A time of day alone is near to nothing.
  return differIn(before, after, { kinds, moments, clocks: moments === undefined })
}

interface Noise {
  readonly kinds: readonly VolatileKind[]
  readonly moments: Moments | undefined
  /** Times of day are times, too. */
  readonly clocks: boolean
}

function differIn(before: unknown, after: unknown, noise: Noise): boolean {
  const { kinds, moments } = noise
  const [old, now] = [numberIn(before), numberIn(after)]
  if (old !== undefined && now !== undefined) return areNumbers(old, now, kinds, moments)
  if (typeof before !== 'string' || typeof after !== 'string') return false
  if (before.length > MAX_TEXT || after.length > MAX_TEXT) return false
  return blanked(before, moments?.before, noise) === blanked(after, moments?.after, noise)
}

/** Nanoseconds since 1970 are more than a double holds; to be near, they need not be exact. */
function numberIn(value: unknown): number | undefined {
  if (value instanceof ExactNumber) return Number(value.source)
  return typeof value === 'number' ? value : undefined
}

/** Longer ones are compared as they are. */
const MAX_TEXT = 1024 * 1024

/**
 * The fewest kinds that make two different values equal; undefined where none do. Kinds that hide less come first. They are
 * meant for a rule, for which times of day count whenever they were said.
 */
export function noiseOf(before: unknown, after: unknown, moments?: Moments): readonly VolatileKind[] | undefined {
  const isNoise = (kinds: readonly VolatileKind[]): boolean => differIn(before, after, { kinds, moments, clocks: true })
  // Most differences are no noise, and then one look is enough.
  return isNoise(KINDS) ? SETS.find(isNoise) : undefined
}

const KINDS: readonly VolatileKind[] = ['uuid', 'time', 'port', 'path', 'number']
const SETS: readonly (readonly VolatileKind[])[] = Array.from({ length: 2 ** KINDS.length }, (_, bits) =>
  KINDS.filter((_, i) => bits & (1 << i))
)
  .filter(set => set.length > 0)
  .sort((a, b) => a.length - b.length || indexes(a) - indexes(b))

function indexes(set: readonly VolatileKind[]): number {
  return set.reduce((sum, kind) => sum + 2 ** KINDS.indexOf(kind), 0)
}

function areNumbers(before: number, after: number, kinds: readonly VolatileKind[], moments?: Moments): boolean {
  if (kinds.includes('number')) return true
  return kinds.includes('time') && isEpoch(before, moments?.before) && isEpoch(after, moments?.after)
}

/** A clock may be off, and a time may be without its zone, or be a date. */
const NEAR = 86_400_000
/** 2001 to 2099: what is taken for a time where nothing is known of when it was. */
const EARLIEST = 1_000_000_000_000
const LATEST = 4_102_444_800_000

function isNear(time: number, moment: number | undefined): boolean {
  return moment === undefined ? !Number.isNaN(time) : Math.abs(time - moment) <= NEAR
}

/** Seconds, milliseconds, microseconds or nanoseconds since 1970. */
function isEpoch(value: number, moment: number | undefined): boolean {
  return [1000, 1, 1e-3, 1e-6].some(factor => {
    const time = value * factor
    return moment === undefined ? time >= EARLIEST && time < LATEST : isNear(time, moment)
  })
}

/** With a name in place of each part of these kinds. Kinds that may hold others go first. */
function blanked(text: string, moment: number | undefined, { kinds, clocks }: Noise): string {
  if (kinds.includes('uuid')) text = text.replace(UUID, blank('uuid'))
  if (kinds.includes('time')) {
    text = text.replace(DATE, found => (isNear(timeOf(found), moment) ? blank('time') : found))
    text = text.replace(EPOCH, found => (isEpoch(Number(found), moment) ? blank('time') : found))
    if (clocks) text = text.replace(CLOCK, blank('time'))
  }
  if (kinds.includes('port')) text = text.replace(PORT, `$1${blank('port')}`)
  if (kinds.includes('path')) text = text.replace(FILE_PATH, blank('path'))
  if (kinds.includes('number')) text = text.replace(NUMBER, blank('number'))
  return text
}

/** No text that people write holds this. */
function blank(kind: VolatileKind): string {
  return `\u0000${kind}\u0000`
}

const UUID = /(?<![\da-z])[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}(?![\da-z])/gi
const DAY = '(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)'
const MONTH = '(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)'
const TIME = '\\d{2}:\\d{2}(?::\\d{2}(?:[.,]\\d{1,9})?)?'
const ISO = `\\d{4}-\\d{2}-\\d{2}(?:[T ]${TIME}(?: ?(?:Z|UTC|[+-]\\d{2}:?\\d{2}))?)?`
/** RFC 1123: `Mon, 23 Nov 2026 15:42:27 GMT`. */
const HTTP_DATE = `${DAY}, \\d{2} ${MONTH} \\d{4} ${TIME} (?:GMT|UTC|[+-]\\d{4})`
/** Of JavaScript's Date and of date(1): `Mon Nov 23 2026 15:42:27 GMT+0000 (…)`, `Mon Nov 23 15:42:27 UTC 2026`. */
const LONG_DATE = `${DAY} ${MONTH} [ \\d]\\d (?:\\d{4} ${TIME}(?: GMT[+-]\\d{4}(?: \\([^()]{1,64}\\))?)?|${TIME} (?:[A-Z]{3,4} )?\\d{4})`
const DATE = new RegExp(`(?<![\\w.-])(?:${ISO}|${HTTP_DATE}|${LONG_DATE})(?![\\w-])`, 'g')
/** Some write `9:05 PM`, with a narrow blank between. */
const CLOCK = /(?<![\w:.-])\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?(?:[ \u00a0\u202f]?[AP]\.?M\b\.?)?(?![\w:-])/gi
const EPOCH = /(?<![\w.-])(?:\d{10}(?:\.\d{1,9})?|\d{13}(?:\.\d{1,9})?|\d{16}|\d{19})(?![\w.-])/g
const PORT = /((?:localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[::1\]|0\.0\.0\.0):)\d{1,5}(?!\d)/gi
/** Absolute, of two parts at least (`/` and `/mcp` are words of the protocol's world, not places on a disk). */
const FILE_PATH =
  /(?<![\w.:/\\-])(?:\/[\w.+@%~-]+){2,}\/?|(?<![\w])[A-Za-z]:\\[\w.+@%~ -]+(?:\\[\w.+@%~ -]+)*|file:\/\/\/[\w.+@%~/:-]+/g
const NUMBER = /(?<![\w.])-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g

/** NaN for what only looks like one. */
function timeOf(text: string): number {
  return Date.parse(
    text
      .replace(/ ?UTC\b/, 'Z')
      .replace(',', text.includes(', ') ? ',' : '.')
      .replace(/ \([^)]*\)$/, '')
  )
}
