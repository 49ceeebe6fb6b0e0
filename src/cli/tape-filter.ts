import type { Argv } from 'yargs'
import type { FrameFilter } from '../tape/filter.ts'
import { reasonOf } from '../tape/format.ts'

export interface FilterArgs {
  session?: string
  method?: string
  direction?: 'up' | 'down'
  side?: 'client' | 'server'
  grep?: RegExp
  json: boolean
}

/** Options that `tape show` and `tail` share. */
export function filterOptions<T>(args: Argv<T>): Argv<T & FilterArgs> {
  return args
    .option('session', { type: 'string', requiresArg: true, describe: 'only this session (its handle, as shown)' })
    .option('method', {
      type: 'string',
      requiresArg: true,
      describe: "only messages of this method and their answers; a glob: 'tools/*', 'notifications/**'"
    })
    .option('direction', {
      choices: ['up', 'down'] as const,
      requiresArg: true,
      describe: 'only towards the server (up) or the client (down)'
    })
    .option('side', {
      choices: ['client', 'server'] as const,
      requiresArg: true,
      describe: 'only what passed between the client and catflap, or between catflap and the server'
    })
    .option('grep', {
      type: 'string',
      requiresArg: true,
      coerce: asRegExp,
      describe: 'only frames whose text matches this regular expression'
    })
    .option('json', { type: 'boolean', default: false, describe: 'as JSON lines, in the format of a tape' }) as Argv<
    T & FilterArgs
  >
}

function asRegExp(source: string | readonly string[] | undefined): RegExp | undefined {
  if (source === undefined) return undefined
  if (typeof source !== 'string') throw new Error('--grep is given more than once; give it once')
  try {
    return new RegExp(source, 'u')
  } catch (error) {
    throw new Error(`--grep '${source}' is no regular expression: ${reasonOf(error)}`)
  }
}

export function filterOf(args: FilterArgs): FrameFilter {
  return { session: args.session, method: args.method, direction: args.direction, side: args.side, grep: args.grep }
}
