import type { CommandModule } from 'yargs'
import { lsCommand } from './tape-ls.ts'
import { showCommand } from './tape-show.ts'
import { validateCommand } from './tape-validate.ts'

export const tapeCommand: CommandModule = {
  command: 'tape',
  describe: 'list, show and check recorded tapes',
  builder: args =>
    args
      .command(lsCommand)
      .command(showCommand)
      .command(validateCommand)
      .demandCommand(1, 'Name what to do: ls, show or validate.'),
  handler: () => {}
}
