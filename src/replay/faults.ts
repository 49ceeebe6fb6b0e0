/** What goes wrong on purpose, so that clients can be tested with it. */
export interface FaultRule {
  /**
   * `drop`: no answer, and over HTTP the connection breaks. `delay`: the answer comes `ms` later. `error`: an error in its
   * place. `cut`: after `events` messages the stream breaks.
   */
  readonly kind: FaultKind
  /** Of those that it is about, from 0 to 1. */
  readonly share: number
  readonly ms?: number
  readonly events?: number
  /** The method that it is about. Default: every one but `initialize`, `ping` and `server/discover`. */
  readonly method?: string
}

export type FaultKind = 'drop' | 'delay' | 'error' | 'cut'
export const FAULT_KINDS: readonly FaultKind[] = ['drop', 'delay', 'error', 'cut']

/** Without them nothing else would happen, so that they are spared where they are not named. */
const SPARED = new Set(['initialize', 'ping', 'server/discover'])

/**
 * Which faults a request has. It depends on the seed, the method, and how many of that method came before in its replay session: not
 * on what other clients do meanwhile.
 */
export class Faults {
  readonly seed: number
  readonly #rules: readonly FaultRule[]

  constructor(rules: readonly FaultRule[], seed: number) {
    this.#rules = rules
    this.seed = seed
  }

  get any(): boolean {
    return this.#rules.length > 0
  }

  /** `n`: so many of that method came before. */
  of(method: string, n: number): FaultRule[] {
    return this.#rules.filter((rule, i) => {
      if (rule.method === undefined ? SPARED.has(method) : rule.method !== method) return false
      return rule.share >= 1 || draw(`${this.seed}/${i}/${method}/${n}`) < rule.share
    })
  }
}

/** Nothing of the recording is told. */
export function isInstead({ kind }: FaultRule): boolean {
  return kind === 'drop' || kind === 'error'
}

/** A number from 0 to 1 (1 excluded) that is always the same for the same text, and looks like chance. */
function draw(text: string): number {
  // FNV-1a, stirred by the finish of MurmurHash3, as near texts would otherwise give near numbers.
  let h = 0x811c9dc5
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return ((h ^ (h >>> 16)) >>> 0) / 2 ** 32
}

const SHARE = '0|1|0?\\.\\d{1,9}'
const TIME = '\\d{1,9}(?:\\.\\d{1,9})?(?:ms|s|m|h)?'

/** How a fault is written: `drop:0.1`, `delay:200ms:0.5`, `error:0.05`, `cut:3`, and `tools/call=…` for one method. */
export const FAULT_PATTERN = `(?:[^=\\s]{1,200}=)?(?:(?:drop|error)(?::(?:${SHARE}))?|(?:delay:${TIME}|cut:\\d{1,6})(?::(?:${SHARE}))?)`
const WRITTEN = new RegExp(`^${FAULT_PATTERN}$`)

/** Throws a TypeError that shows the right form. */
export function parseFault(text: string, parseDuration: (text: string) => number): FaultRule {
  if (!WRITTEN.test(text)) throw new TypeError(`'${text}' is no fault; ${FORMS}`)
  const at = text.indexOf('=')
  const method = at < 0 ? {} : { method: text.slice(0, at) }
  const [name, ...rest] = text.slice(at + 1).split(':')
  const kind = name as FaultKind
  const share = Number(rest[kind === 'drop' || kind === 'error' ? 0 : 1] ?? 1)
  if (kind === 'delay') return { kind, share, ms: parseDuration(rest[0]!), ...method }
  if (kind === 'cut') return { kind, share, events: Number(rest[0]), ...method }
  return { kind, share, ...method }
}

const FORMS =
  'write drop:SHARE, delay:TIME:SHARE, error:SHARE or cut:EVENTS:SHARE (a share from 0 to 1, or none), with METHOD= before it for one method: tools/call=delay:200ms:0.5'

export function checkFault(rule: FaultRule): boolean {
  const { kind, share, ms = 0, events = 0 } = rule
  if (!FAULT_KINDS.includes(kind) || !(share >= 0 && share <= 1)) return false
  if (kind === 'delay' && !(rule.ms !== undefined && ms >= 0 && ms < 2 ** 31)) return false
  return kind !== 'cut' || (rule.events !== undefined && Number.isInteger(events) && events >= 0)
}
