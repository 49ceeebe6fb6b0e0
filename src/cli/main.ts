import yargs from 'yargs'
import { VERSION } from '../version.ts'
import { forwardCommand } from './forward.ts'
import { tailCommand } from './tail.ts'
import { tapeCommand } from './tape.ts'

/** Exit codes: 0 clean end, 1 failure with a one-line reason, 2 wrong usage. */
export const USAGE = 2

export async function main(args: readonly string[]): Promise<void> {
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
    .version(VERSION)
    .alias('h', 'help')
    .wrap(process.stdout.isTTY ? Math.min(120, process.stdout.columns) : 110)
    .epilogue('Exit codes: 0 clean end, 1 failure, 2 wrong usage. Documentation: docs/ in the package.')
    .exitProcess(false)
    .fail((message, error) => wrongUsage(message || error?.message || 'wrong usage', error))
  await cli.parseAsync()
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
