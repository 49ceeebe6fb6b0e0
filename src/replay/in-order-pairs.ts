/** More are paired by position. */
const MAX_TABLE = 1_000_000

/**
 * Pairs two lists so that as many as possible of equal kind meet, in order; what has no partner stands alone. Sorted as a
 * reader would meet them.
 */
export function pairsInOrder<A, B>(
  before: readonly A[],
  after: readonly B[],
  kindOfA: (a: A) => string,
  kindOfB: (b: B) => string
): [A | undefined, B | undefined][] {
  const [n, m] = [before.length, after.length]
  if (n * m > MAX_TABLE) return Array.from({ length: Math.max(n, m) }, (_, i) => [before[i], after[i]])
  // Lengths of the longest common sequence of what is left from each place.
  const width = m + 1
  const table = new Uint32Array((n + 1) * width)
  const isEqual = (i: number, j: number): boolean => kindOfA(before[i]!) === kindOfB(after[j]!)
  for (let i = n - 1; i >= 0; i--)
    for (let j = m - 1; j >= 0; j--)
      table[i * width + j] = isEqual(i, j)
        ? table[(i + 1) * width + j + 1]! + 1
        : Math.max(table[(i + 1) * width + j]!, table[i * width + j + 1]!)
  const pairs: [A | undefined, B | undefined][] = []
  let [i, j] = [0, 0]
  while (i < n || j < m) {
    if (i < n && j < m && isEqual(i, j)) pairs.push([before[i++], after[j++]])
    else if (j >= m || (i < n && table[(i + 1) * width + j]! >= table[i * width + j + 1]!))
      pairs.push([before[i++], undefined])
    else pairs.push([undefined, after[j++]])
  }
  return pairs
}
