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
      .demandCommand(1, 'Name what to do: ls, show, validate, stats, diff, cut or redact.')
      .example('$0 tape ls ./tapes', 'the tapes in ./tapes, oldest first')
      .example("$0 tape show a.tape.jsonl --method 'tools/*'", 'tool calls and their answers')
      .example('$0 tape stats a.tape.jsonl --sort time', 'where the time went')
      .example('$0 tape diff old.tape.jsonl new.tape.jsonl', 'what has changed between two recordings'),
  handler: () => {}
}
