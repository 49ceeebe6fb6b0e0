/** The known name that somebody who wrote `name` most likely meant; undefined where none is close. */
export function nearest(name: string, known: Iterable<string>): string | undefined {
  if (name.length > MAX_NAME) return undefined
  const plain = bare(name)
  let best: string | undefined
  let least = Math.max(1, Math.floor(plain.length / 4)) + 1
  for (const candidate of known) {
    const other = bare(candidate)
    // It takes at least as many edits as one is longer.
    if (Math.abs(other.length - plain.length) >= least) continue
    const distance = edits(plain, other)
    if (distance < least) {
      least = distance
      best = candidate
    }
  }
  return best
}

const MAX_NAME = 64

/** `max-body`, `max_body` and `MaxBody` are all `maxBody`. */
function bare(name: string): string {
  return name.replace(/[-_ ]/g, '').toLowerCase()
}

/** How many letters have to be added, dropped, replaced, or swapped with their neighbour. */
function edits(a: string, b: string): number {
  let before: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1]
      let cost = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + (same ? 0 : 1))
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) cost = Math.min(cost, before[j - 2]! + 1)
      row.push(cost)
    }
    before = last
    last = row
  }
  return last[b.length]!
}
