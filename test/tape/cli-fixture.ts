import { writeSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import yargs from 'yargs'
import { tailCommand } from '../../src/cli/tail.ts'
import { tapeCommand } from '../../src/cli/tape.ts'

// How much memory was used, in kB, behind all else.
if (process.env.CATFLAP_TEST_MEMORY) process.on('exit', () => writeSync(2, `\0${process.resourceUsage().maxRSS}`))

if (process.env.CATFLAP_TEST_COMMANDS) {
  // Several, named on standard input; a zero byte ends what each has written, and its exit code.
  for (const args of JSON.parse(await text(process.stdin)) as string[][]) {
    process.exitCode = 0
    await run(args)
    process.stdout.write(`\0${process.exitCode}\0`)
    process.stderr.write('\0')
  }
  process.exitCode = 0
} else await run(process.argv.slice(2))

/** What bin/catflap.ts does for these two commands. */
async function run(args: string[]): Promise<void> {
  await yargs(args)
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
}
