import type { Argv } from 'yargs'

export interface OutputArgs {
  out?: string
  force: boolean
}

/** Options of commands that write a tape. */
export function outputOptions<T>(args: Argv<T>): Argv<T & OutputArgs> {
  return args
    .option('out', { type: 'string', alias: 'o', requiresArg: true, describe: 'the tape to write (mode 0600)' })
    .option('force', {
      type: 'boolean',
      default: false,
      describe: 'replace a file that exists'
    }) as unknown as Argv<T & OutputArgs>
}
