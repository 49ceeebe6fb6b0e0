import { createHash } from 'node:crypto'

const LONGEST = 100
/** Names that Windows keeps for devices, whatever follows the dot. */
const DEVICES = /^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i

/**
 * A file name for a tape of this name. Names of tests are free: what cannot stand in a file name becomes `-`, and then a few digits keep
 * names apart that would look alike.
 */
export function tapeFileName(name: string): string {
  const plain = name
    .normalize('NFC')
    .replace(/[^A-Za-z0-9._-]+/g, '-')
    .replace(/^[.-]+|[.-]+$/g, '')
    .slice(0, LONGEST)
  if (name.trim() === '') throw new TypeError('a tape needs a name')
  // On some systems `Name` and `name` are one file.
  if (plain === name && plain === plain.toLowerCase() && !DEVICES.test(plain)) return `${plain}.tape.jsonl`
  const sum = createHash('sha256').update(name).digest('hex').slice(0, 8)
  return `${plain === '' || DEVICES.test(plain) ? `tape-${plain}` : plain}-${sum}.tape.jsonl`.replace('--', '-')
}
