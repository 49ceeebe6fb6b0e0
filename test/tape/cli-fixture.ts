import yargs from 'yargs'
import { tailCommand } from '../../src/cli/tail.ts'
import { tapeCommand } from '../../src/cli/tape.ts'

// What bin/catflap.ts does for these two commands.
await yargs(process.argv.slice(2))
  .scriptName('catflap')
  .command(tapeCommand)
  .command(tailCommand)
  .strict()
  .demandCommand(1)
  .fail((message, error) => {
    process.stderr.write(`catflap: ${message || error.message}\n`)
    process.exit(2)
  })
  .parseAsync()
