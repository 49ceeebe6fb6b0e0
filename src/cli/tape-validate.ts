import type { CommandModule } from 'yargs'
import { printable } from '../printable.ts'
import { fileChunks } from '../tape/file-chunks.ts'
import { LineOutput } from '../tape/line-output.ts'
import { type Finding, validateTape } from '../tape/validate.ts'
import { Progress } from './progress.ts'
import { counted, inputOf, reporting } from './tape-command.ts'

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
  const progress = await Progress.of(file)
  const chunks = file === '-' ? process.stdin : fileChunks(file, { reuse: true, onBytes: progress.add })
  const findings = validateTape(file === '-' ? 'standard input' : file, chunks)
  let errors = 0
  let shown = 0
  let step = await nextOf(findings, progress)
  for (; !step.done; step = await nextOf(findings, progress)) {
    const { line, severity, text } = step.value
    if (severity === 'error') errors++
    if (++shown <= MAX_FINDINGS)
      await out.write(`${printable(file)}:${line}: ${severity === 'error' ? '' : 'warning: '}${printable(text)}`)
  }
  if (shown > MAX_FINDINGS) await out.write(`… and ${shown - MAX_FINDINGS} more`)
  if (errors === 0) await out.write(`${printable(file)}: valid, ${counted(step.value, 'frame')}`)
  else process.exitCode = 1
  await out.end()
}

/** The line of progress is taken away before anything else is written. */
async function nextOf(
  findings: AsyncGenerator<Finding, number, void>,
  progress: Progress
): Promise<IteratorResult<Finding, number>> {
  try {
    return await findings.next()
  } finally {
    progress.end()
  }
}
