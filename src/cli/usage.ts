/** The options make no sense: the message names the one, its value, and the right form. Exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** Exit codes: 0 clean end, 1 failure with a one-line reason, 2 wrong usage. */
const USAGE = 2

export function wrongUsage(message: string, error: Error | undefined): void {
  // A handler's own failure is no wrong usage.
  if (error && !isUsage(error)) throw error
  process.stderr.write(
    `catflap: ${message}\nSee 'catflap --help', or 'catflap <command> --help' for its options and an example.\n`
  )
  process.exit(USAGE)
}

function isUsage(error: Error): boolean {
  return error.name === 'YError' || error.name === 'UsageError' || error.message.startsWith('--')
}

/** What yargs says of wrong arguments, in the words of ours: the option as it is written, and what to write instead. */
export function plainUsage(message: string): string {
  const lines = message.split('\n').map(line => line.trim())
  const [first = ''] = lines
  const unknown = /^Unknown arguments?: (.+)$/.exec(first)?.[1]
  if (unknown !== undefined) return unknownArguments(unknown.split(', '))
  const missing = /^Not enough arguments following: (.+)$/.exec(first)?.[1]
  if (missing !== undefined) return `--${missing} needs a value: --${missing} VALUE`
  if (first === 'Invalid values:') return lines.slice(1).filter(Boolean).map(invalidValue).join('; ')
  if (/^Not enough non-option arguments/.test(first))
    return `'catflap ${process.argv.slice(2).join(' ')}' needs one more argument`
  const exclusive = /^Arguments (\S+) and (\S+) are mutually exclusive$/.exec(first)
  if (exclusive) return `--${exclusive[1]} and --${exclusive[2]} exclude each other: give one of them`
  return lines.filter(Boolean).join(' ')
}

const ACTIONS: Readonly<Record<string, string>> = {
  tape: 'tape ls, show, validate, stats, diff, cut and redact',
  config: 'config check, clients and schema'
}

function unknownArguments(names: readonly string[]): string {
  // yargs lists `fooBar` beside `foo-bar`; nobody wrote that.
  const written = names.filter(name => !/[A-Z]/.test(name) || !names.some(n => n.includes('-')))
  const word = written.find(name => process.argv.includes(name))
  const [command, action] = process.argv.slice(2)
  if (word !== undefined && word === command)
    return `'${word}' is no command; there are forward, reverse, replay, verify, config, tape and tail`
  const actions = ACTIONS[command ?? '']
  if (word !== undefined && word === action && actions)
    return `'catflap ${command} ${word}' is no command; there are ${actions}`
  if (word !== undefined && command === 'forward')
    return `'${word}' is one argument too many. The command of a server goes after --: catflap forward -- COMMAND [ARGS…]`
  if (word !== undefined) return `'${word}' is one argument too many`
  return `${written.map(name => `${name.length === 1 ? '-' : '--'}${name}`).join(', ')}: no such option`
}

function invalidValue(line: string): string {
  const m = /^Argument: (\S+), Given: (.+), Choices: (.+)$/.exec(line)
  return m ? `--${m[1]} ${m[2]!.replaceAll('"', '')}: give one of ${m[3]!.replaceAll('"', '')}` : line
}
