/**
 * Whether two options say the same. What is more than data (an interceptor, a store) is the same only if it is the very same:
 * nobody can look into it.
 */
export function sameOptions(one: unknown, other: unknown): boolean {
  if (Object.is(one, other)) return true
  if (Buffer.isBuffer(one) && Buffer.isBuffer(other)) return one.equals(other)
  if (Array.isArray(one) && Array.isArray(other))
    return one.length === other.length && one.every((value, i) => sameOptions(value, other[i]))
  if (!isData(one) || !isData(other)) return false
  const keys = Object.keys(one)
  if (keys.length !== Object.keys(other).length) return false
  return keys.every(key => Object.hasOwn(other, key) && sameOptions(one[key], other[key]))
}

function isData(value: unknown): value is Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}
