const BETWEEN = /[^A-Za-z0-9]+/
const UUID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/i
const UUIDS = new RegExp(UUID, 'gi')
const HEX = /^(?=.*\d)(?=.*[a-f])[0-9a-f]+$/i
/** From a letter to a digit or back: `v1beta1` has three, `release2024` has one. */
const TURNS = /\d(?=[A-Za-z])|[A-Za-z](?=\d)/g
const SHORTEST = 8
/** Long and in one piece. */
const TOKEN = /^[\w+/=~-]{20,}$/
/** Of letters in one case, but for the first: people write such, and numbers. */
const PLAIN = /(?:^|[^A-Za-z0-9])(?:[A-Za-z]?[a-z]{3,}|[A-Z]{4,}|\d{3,})(?![A-Za-z0-9])/

/** Whether no person wrote it, by the look of it: it holds a UUID, or a long word of letters and digits without an order. */
export function isRandom(text: string): boolean {
  return UUID.test(text) || text.split(BETWEEN).some(isRandomWord)
}

/** Whether two texts differ only in what looks as if no person wrote it. Numbers are an amount as well as an id. */
export function differInRandom(before: string, after: string): boolean {
  const [old, now] = [before, after].map(text => text.replace(UUIDS, 'UUID').split(BETWEEN))
  const isWordByWord = old!.length === now!.length && old!.every((word, i) => isSameOrRandom(word, now![i]!))
  return isWordByWord || unlike(before, after).every(isToken)
}

/** Tokens may hold what stands between words elsewhere, but no words. */
function isToken(text: string): boolean {
  return TOKEN.test(text) && isRandom(text) && !PLAIN.test(text)
}

/** Without the words that both begin and end with. */
function unlike(before: string, after: string): [string, string] {
  const [old, now] = [before, after].map(text => text.split(/(?<=[^A-Za-z0-9])|(?=[^A-Za-z0-9])/))
  let head = 0
  while (head < old!.length && old![head] === now![head]) head++
  let tail = 0
  const rest = Math.min(old!.length, now!.length) - head
  while (tail < rest && old!.at(-1 - tail) === now!.at(-1 - tail)) tail++
  return [old!, now!].map(words => words.slice(head, words.length - tail).join('')) as [string, string]
}

function isSameOrRandom(before: string, after: string): boolean {
  return before === after || (isRandomWord(before) && isRandomWord(after))
}

function isRandomWord(word: string): boolean {
  if (word.length < SHORTEST) return false
  return HEX.test(word) || (word.match(TURNS)?.length ?? 0) >= 2
}
