/** The options make no sense: the message names the one, its value, and the right form. Exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}
