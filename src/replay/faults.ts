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

/** A number from 0 to 1 (1 excluded) that is always the same for the same text, and looks like chance. */
function draw(text: string): number {
  // FNV-1a, stirred by the finish of MurmurHash3, as near texts would otherwise give near numbers.
  let h = 0x811c9dc5
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return ((h ^ (h >>> 16)) >>> 0) / 2 ** 32
}

/** `drop:0.1`, `delay:200ms:0.5`, `error:0.05`, `cut:3`, and `tools/call=…` for one method. Throws a TypeError. */
export function parseFault(text: string, parseDuration: (text: string) => number): FaultRule {
  const m = /^(?:([^=\s]{1,200})=)?(drop|delay|error|cut)(?::([^:]*))?(?::([^:]*))?$/.exec(text)
  if (!m) throw new TypeError(`'${text}' is no fault; ${FORMS}`)
  const [, method, name, first, second] = m
  const kind = name as FaultKind
  const about = method === undefined ? {} : { method }
  if (kind === 'drop' || kind === 'error') {
    if (second !== undefined) throw new TypeError(`'${text}' is no fault; ${FORMS}`)
    return { kind, share: shareOf(first, text), ...about }
  }
  if (first === undefined) throw new TypeError(`'${text}' is no fault; ${FORMS}`)
  const share = shareOf(second, text)
  if (kind === 'delay') return { kind, share, ms: parseDuration(first), ...about }
  if (!/^\d{1,6}$/.test(first)) throw new TypeError(`'${text}' is no fault; ${FORMS}`)
  return { kind, share, events: Number(first), ...about }
}

const FORMS =
  'write drop:SHARE, delay:TIME[:SHARE], error:SHARE or cut:EVENTS[:SHARE], with METHOD= before it for one method: tools/call=delay:200ms:0.5'

function shareOf(text: string | undefined, whole: string): number {
  if (text === undefined) return 1
  const share = Number(text)
  if (!/^\d*\.?\d+$/.test(text) || share > 1) throw new TypeError(`'${whole}': '${text}' is no share from 0 to 1`)
  return share
}

export function checkFault(rule: FaultRule): boolean {
  const { kind, share, ms = 0, events = 0 } = rule
  if (!FAULT_KINDS.includes(kind) || !(share >= 0 && share <= 1)) return false
  if (kind === 'delay' && !(rule.ms !== undefined && ms >= 0 && ms < 2 ** 31)) return false
  return kind !== 'cut' || (rule.events !== undefined && Number.isInteger(events) && events >= 0)
}
