const BETWEEN = /[^A-Za-z0-9]+/
const UUID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/i
const UUIDS = new RegExp(UUID, 'gi')
const HEX = /^(?=.*\d)(?=.*[a-f])[0-9a-f]+$/i
const LONG_NUMBER = /^\d{10,}$/
/** From a letter to a digit or back: `v1beta1` has three, `release2024` has one. */
const TURNS = /\d(?=[A-Za-z])|[A-Za-z](?=\d)/g
const SHORTEST = 8
/** Long and in one piece. */
const TOKEN = /^[\w+/=~-]{20,}$/

/** Whether no person wrote it, by the look of it: it holds a UUID, or a long word of letters and digits without an order. */
export function isRandom(text: string): boolean {
  return UUID.test(text) || text.split(BETWEEN).some(isRandomWord)
}

/** Whether two texts differ only in what looks as if no person wrote it. */
export function differInRandom(before: string, after: string): boolean {
  const [old, now] = [before, after].map(text => text.replace(UUIDS, 'UUID').split(BETWEEN))
  const isWordByWord = old!.length === now!.length && old!.every((word, i) => isSameOrRandom(word, now![i]!))
  // Tokens may hold what stands between words elsewhere.
  return isWordByWord || [before, after].every(text => TOKEN.test(text) && isRandom(text))
}

function isSameOrRandom(before: string, after: string): boolean {
  return before === after || (isRandomWord(before) && isRandomWord(after))
}

function isRandomWord(word: string): boolean {
  if (word.length < SHORTEST) return false
  return HEX.test(word) || LONG_NUMBER.test(word) || (word.match(TURNS)?.length ?? 0) >= 2
}
