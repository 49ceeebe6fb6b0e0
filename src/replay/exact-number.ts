/**
 * A number that no double holds, such as 9007199254740993: what reads it as a double cannot tell it from its neighbour. It is
 * kept as it was written; `value` is the same for all spellings of one number.
 */
export class ExactNumber {
  readonly source: string
  readonly value: string

  constructor(source: string) {
    this.source = source
    this.value = decimalOf(source)
  }

  /** JSON.stringify writes it as it was. */
  toJSON(): unknown {
    return (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(this.source)
  }
}

/** Whether some number in a JSON text may be one: doubles hold all of up to 15 digits that are not very large or small. */
export function mayHoldExact(text: string): boolean {
  return /[\d.]{16}|[eE][+-]?\d{3}/.test(text)
}

/** A number of JSON: as a double where that is the number that was meant. */
export function numberOf(source: string): number | ExactNumber {
  const double = Number(source)
  const written = String(double)
  if (written === source) return double
  const exact = new ExactNumber(source)
  return Number.isFinite(double) && exact.value === decimalOf(written) ? double : exact
}

/** Nobody means a longer exponent; taking one apart would cost. */
const MAX_EXPONENT = 1000

/** `-125e-2` and `-1.25` are both `-125e-2`: digits without zeros at either end, and where the point belongs. */
function decimalOf(source: string): string {
  const [mantissa = '', exponent = '0'] = source.toLowerCase().split('e')
  const negative = mantissa.startsWith('-')
  const [whole = '', fraction = ''] = (negative ? mantissa.slice(1) : mantissa).split('.')
  const digits = withoutZeros(whole + fraction)
  if (digits.text === '') return '0'
  const sign = negative ? '-' : ''
  if (exponent.length > MAX_EXPONENT) return `${sign}${mantissa}e${exponent}`
  return `${sign}${digits.text}e${BigInt(exponent.replace('+', '')) - BigInt(fraction.length - digits.behind)}`
}

function withoutZeros(digits: string): { readonly text: string; readonly behind: number } {
  let start = 0
  while (digits.charCodeAt(start) === ZERO) start++
  let end = digits.length
  while (end > start && digits.charCodeAt(end - 1) === ZERO) end--
  return { text: digits.slice(start, end), behind: digits.length - end }
}

const ZERO = 0x30
