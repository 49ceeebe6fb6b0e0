const BYTES = 32

/**
 * A key as people write it: 32 bytes, as 64 hex digits or in base64 (either alphabet). Throws a RangeError that holds nothing of the
 * text.
 */
export function storeKey(text: string): Buffer {
  const given = text.trim()
  const isHex = /^[0-9a-fA-F]{64}$/.test(given)
  const isBase64 = /^(?:[A-Za-z0-9+/]{43}|[A-Za-z0-9_-]{43})=?$/.test(given)
  const key = isHex ? Buffer.from(given, 'hex') : Buffer.from(given, 'base64')
  if ((!isHex && !isBase64) || key.length !== BYTES) throw new RangeError(`a store key is ${STORE_KEY}`)
  return key
}

export const STORE_KEY = `${BYTES} bytes, as 64 hex digits or in base64`
