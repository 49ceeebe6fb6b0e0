/** A limit or timeout as people write it: the largest unit that leaves a whole number. */
export function written(value: number, unit: 'ms' | 'bytes' | 'count'): string | number {
  if (unit === 'count' || value === 0) return value
  const units: readonly (readonly [string, number])[] =
    unit === 'ms'
      ? [
          ['h', 3_600_000],
          ['m', 60_000],
          ['s', 1000]
        ]
      : [
          ['G', 1024 ** 3],
          ['M', 1024 ** 2],
          ['k', 1024]
        ]
  const [name, factor] = units.find(([, f]) => value % f === 0) ?? [unit === 'ms' ? 'ms' : '', 1]
  return `${value / factor}${name}`
}
