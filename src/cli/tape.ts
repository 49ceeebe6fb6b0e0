import type { CommandModule } from 'yargs'
import { cutCommand } from './tape-cut.ts'
import { diffCommand } from './tape-diff.ts'
import { lsCommand } from './tape-ls.ts'
import { redactCommand } from './tape-redact.ts'
import { showCommand } from './tape-show.ts'
import { statsCommand } from './tape-stats.ts'
import { validateCommand } from './tape-validate.ts'

export const tapeCommand: CommandModule = {
  command: 'tape',
  describe: 'list, show, check, count, compare, cut and redact recorded tapes',
  builder: args =>
    args
      .command(lsCommand)
      .command(showCommand)
      .command(validateCommand)
      .command(statsCommand)
      .command(diffCommand)
      .command(cutCommand)
      .command(redactCommand)
      .demandCommand(1, 'Name what to do: ls, show, validate, stats, diff, cut or redact.'),
  handler: () => {}
}
