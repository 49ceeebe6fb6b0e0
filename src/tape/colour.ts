const CODES = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  magenta: [35, 39],
  cyan: [36, 39]
} as const

export type Paint = (colour: keyof typeof CODES, text: string) => string

export function painter(enabled: boolean): Paint {
  if (!enabled) return (_, text) => text
  return (colour, text) => {
    const [on, off] = CODES[colour]
    return text === '' ? '' : `\x1b[${on}m${text}\x1b[${off}m`
  }
}

/** https://no-color.org: any value but the empty one switches colours off; FORCE_COLOR switches them on. */
export function wantsColour(stream: { readonly isTTY?: boolean }, env: NodeJS.ProcessEnv = process.env): boolean {
  if (env.NO_COLOR !== undefined && env.NO_COLOR !== '') return false
  if (env.FORCE_COLOR !== undefined && env.FORCE_COLOR !== '' && env.FORCE_COLOR !== '0') return true
  return stream.isTTY === true && env.TERM !== 'dumb'
}
