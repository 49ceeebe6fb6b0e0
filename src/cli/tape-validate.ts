import type { CommandModule } from 'yargs'
import { printable } from '../printable.ts'
import { LineOutput } from '../tape/line-output.ts'
import { validateTape } from '../tape/validate.ts'
import { inputOf, reporting } from './tape-command.ts'

interface ValidateArgs {
  file: string
}

const MAX_FINDINGS = 100

export const validateCommand: CommandModule<object, ValidateArgs> = {
  command: 'validate <file>',
  describe: 'check a tape against the format (docs/tape-format.md)',
  builder: args =>
    args
      .positional('file', { type: 'string', demandOption: true, describe: "a tape, or '-'" })
      .example('$0 tape validate a.tape.jsonl && echo fine', 'exit code 0: valid; 1: not, with the lines'),
  handler: args => reporting(() => validate(inputOf(args.file)))
}

async function validate(file: string): Promise<void> {
  const out = new LineOutput(process.stdout)
  const findings = file === '-' ? validateTape('standard input', process.stdin) : validateTape(file)
  let errors = 0
  let shown = 0
  let step = await findings.next()
  for (; !step.done; step = await findings.next()) {
    const { line, severity, text } = step.value
    if (severity === 'error') errors++
    if (++shown <= MAX_FINDINGS)
      await out.write(`${printable(file)}:${line}: ${severity === 'error' ? '' : 'warning: '}${printable(text)}`)
  }
  if (shown > MAX_FINDINGS) await out.write(`… and ${shown - MAX_FINDINGS} more`)
  if (errors === 0) await out.write(`${printable(file)}: valid, ${step.value} frames`)
  else process.exitCode = 1
  await out.end()
}
