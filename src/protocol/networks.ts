/** Addresses and networks of IPv4 and IPv6, as numbers that can be compared. */
import { isIP } from 'node:net'

/** An IPv4 address has 32 bits, IPv6 has 128. */
interface Address {
  readonly bits: 32 | 128
  readonly value: bigint
}

interface Network extends Address {
  /** How many bits at the end are the host's. */
  readonly host: bigint
}

/** What an IPv4 address looks like on a socket that takes both (RFC 4291 §2.5.5.2): `::ffff:10.0.0.1`. */
const MAPPED = 0xffffn

/** As it is written everywhere: without a zone, and an IPv4 address as one. Undefined for what is no address. */
export function plainAddress(text: string): string | undefined {
  const kind = isIP(text)
  if (kind === 0) return undefined
  if (kind === 4) return text
  const address = parse6(text)
  if (address.bits === 32) return dotted(address.value)
  const zone = text.indexOf('%')
  return (zone < 0 ? text : text.slice(0, zone)).toLowerCase()
}

/** Some addresses and networks, and whether an address is one of them. */
export class Networks {
  readonly #networks: readonly Network[]

  /** Throws a TypeError that names `option`, what was given, and what is allowed. */
  constructor(given: readonly string[], option: string) {
    this.#networks = given.map(text => parseNetwork(text, option))
  }

  get empty(): boolean {
    return this.#networks.length === 0
  }

  has(text: string | undefined): boolean {
    if (text === undefined || this.empty) return false
    const address = parseAddress(text)
    if (!address) return false
    return this.#networks.some(n => n.bits === address.bits && n.value === address.value >> n.host)
  }
}

function parseNetwork(text: string, option: string): Network {
  const fail = (why: string): never => {
    throw new TypeError(
      `${option}: ${JSON.stringify(text)} ${why}; give an address or a network like 10.0.0.0/8 or fd00::/8`
    )
  }
  if (typeof text !== 'string') return fail('is no text')
  const slash = text.indexOf('/')
  const host = slash < 0 ? text : text.slice(0, slash)
  if (host.includes('%')) return fail('names a zone, which is of one machine only')
  const given = parseAddress(host, false)
  if (!given) return fail('is no address')
  const width = given.bits
  const prefix = slash < 0 ? width : /^\d{1,3}$/.test(text.slice(slash + 1)) ? Number(text.slice(slash + 1)) : -1
  if (prefix < 0 || prefix > width) return fail(`has no prefix from 0 to ${width} behind its slash`)
  const bits = BigInt(width - prefix)
  // Who writes 10.1.2.3/8 meant either one address or the whole network: guessing wrong would trust too many.
  if ((given.value >> bits) << bits !== given.value) return fail(`has bits beyond its prefix of ${prefix}`)
  if (width === 128 && prefix >= 96 && given.value >> 32n === MAPPED)
    return { bits: 32, host: bits, value: (given.value & 0xffffffffn) >> bits }
  return { bits: width, host: bits, value: given.value >> bits }
}

/** `unmap`: a mapped address is the IPv4 address that it stands for. */
function parseAddress(text: string, unmap = true): Address | undefined {
  const kind = isIP(text)
  if (kind === 4) return { bits: 32, value: parse4(text) }
  return kind === 6 ? parse6(text, unmap) : undefined
}

function parse4(text: string): bigint {
  return BigInt(text.split('.').reduce((sum, part) => sum * 256 + Number(part), 0))
}

/** What `isIP` has found to be one. */
function parse6(text: string, unmap = true): Address {
  const zone = text.indexOf('%')
  let plain = zone < 0 ? text : text.slice(0, zone)
  const tail = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(plain)
  if (tail) {
    const low = parse4(tail[2]!)
    plain = `${tail[1]}${(low >> 16n).toString(16)}:${(low & 0xffffn).toString(16)}`
  }
  const [left = '', right] = plain.split('::')
  const head = groups(left)
  const end = groups(right ?? '')
  const gap = Array<string>(8 - head.length - end.length).fill('0')
  const value = BigInt(`0x${[...head, ...gap, ...end].map(g => g.padStart(4, '0')).join('')}`)
  return unmap && value >> 32n === MAPPED ? { bits: 32, value: value & 0xffffffffn } : { bits: 128, value }
}

function groups(text: string): string[] {
  return text === '' ? [] : text.split(':')
}

function dotted(value: bigint): string {
  return [24n, 16n, 8n, 0n].map(shift => (value >> shift) & 0xffn).join('.')
}
