import yargs from 'yargs'
import { VERSION } from '../version.ts'
import { forwardCommand } from './forward.ts'
import { REPEATABLE } from './forward-options.ts'
import { tailCommand } from './tail.ts'
import { tapeCommand } from './tape.ts'
import { plainUsage, UsageError } from './usage.ts'

/** Exit codes: 0 clean end, 1 failure with a one-line reason, 2 wrong usage. */
const USAGE = 2

export async function main(args: readonly string[]): Promise<void> {
  // Whoever read our messages may go before we do (`2>&1 | head`): no fault, and nobody is left to be told.
  process.stderr.on('error', () => {})
  const cli = yargs([...args])
    .scriptName('catflap')
    .usage(
      '$0 <command>\n\nA proxy for the Model Context Protocol: see, record and control what a client and a server say.'
    )
    .parserConfiguration({ 'populate--': true, 'parse-numbers': false, 'parse-positional-numbers': false })
    .command(forwardCommand)
    .command(tapeCommand)
    .command(tailCommand)
    .demandCommand(1, 'Name a command.')
    .strict()
    .check(eachOnce, true)
    .version(VERSION)
    .alias('h', 'help')
    .wrap(process.stdout.isTTY ? Math.min(120, process.stdout.columns) : 110)
    .epilogue('Exit codes: 0 clean end, 1 failure, 2 wrong usage. Documentation: docs/ in the package.')
    .exitProcess(false)
    .fail((message, error) => wrongUsage(plainUsage(message || error?.message || 'wrong usage'), error))
  await cli.parseAsync()
}

/** yargs makes a list of an option that is given twice; which of the two was meant, nobody can know. */
function eachOnce(args: Readonly<Record<string, unknown>>): true {
  for (const [name, value] of Object.entries(args)) {
    const single = /^[a-z][a-z-]*$/.test(name) && !REPEATABLE.includes(name)
    if (single && Array.isArray(value)) throw new UsageError(`--${name} is given more than once; give it once`)
  }
  return true
}

function wrongUsage(message: string, error: Error | undefined): void {
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
