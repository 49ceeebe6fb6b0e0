import yargs, { type CommandModule } from 'yargs'
import { VERSION } from '../version.ts'
import { configCommand } from './config.ts'
import { type ForwardArgs, forwardOptions, REPEATABLE } from './forward-options.ts'
import { type ReplayArgs, replayOptions } from './replay-options.ts'
import { type ReverseArgs, reverseOptions } from './reverse-options.ts'
import { tailCommand } from './tail.ts'
import { tapeCommand } from './tape.ts'
import { plainUsage, UsageError, wrongUsage } from './usage.ts'
import { VERIFY_LISTS, type VerifyArgs, verifyOptions } from './verify-options.ts'

/** The whole command line, with help and advice. `forward` is what the command of that name does. */
export async function commandLine(args: readonly string[], forward = forwardWhenNeeded): Promise<void> {
  const cli = yargs([...args])
    .scriptName('catflap')
    .usage(
      '$0 <command>\n\nA proxy for the Model Context Protocol: see, record and control what a client and a server say.'
    )
    .parserConfiguration({ 'populate--': true, 'parse-numbers': false, 'parse-positional-numbers': false })
    .command(forwardCommand(forward))
    .command(reverseCommand)
    .command(replayCommand)
    .command(verifyCommand)
    .command(configCommand)
    .command(tapeCommand)
    .command(tailCommand)
    .demandCommand(1, 'Name a command.')
    .example('$0 forward http://127.0.0.1:3000/mcp', 'watch what clients and that server say')
    .example('$0 forward --stdio --record ./tapes -- node server.js', 'in the place of a command, recorded')
    .example('$0 replay a.tape.jsonl', 'what was recorded answers, without its server')
    .example('$0 verify a.tape.jsonl http://127.0.0.1:3000/mcp', 'does the server still answer so?')
    .strict()
    .check(eachOnce, true)
    .version(VERSION)
    .alias('h', 'help')
    .wrap(process.stdout.isTTY ? Math.min(120, process.stdout.columns) : 110)
    .epilogue('Exit codes: 0 clean end, 1 failure, 2 wrong usage. Documentation: docs/ in the package.')
    .exitProcess(false)
    .fail((message, error) => wrongUsage(plainUsage(message || error?.message || 'wrong usage'), error))
  await cli.parseAsync()
}

function forwardCommand(handler: (args: ForwardArgs) => Promise<void>): CommandModule<object, ForwardArgs> {
  return {
    command: 'forward [url]',
    describe: 'put catflap between a client and one server',
    builder: args => forwardOptions(args),
    handler
  }
}

const reverseCommand: CommandModule<object, ReverseArgs> = {
  command: 'reverse [routes..]',
  describe: 'one front for many servers',
  builder: args => reverseOptions(args),
  handler: async args => {
    const { reverse } = await import('./reverse.ts')
    await reverse(args)
  }
}

const replayCommand: CommandModule<object, ReplayArgs> = {
  command: 'replay <tapes..>',
  describe: 'serve a tape in the place of its server',
  builder: args => replayOptions(args),
  handler: async args => {
    const { replay } = await import('./replay.ts')
    await replay(args)
  }
}

const verifyCommand: CommandModule<object, VerifyArgs> = {
  command: 'verify <tapes..>',
  describe: 'check a server against a tape',
  builder: args => verifyOptions(args),
  handler: async args => {
    const { verify } = await import('./verify.ts')
    await verify(args)
  }
}

/** Help and mistakes are answered without the proxy. */
async function forwardWhenNeeded(args: ForwardArgs): Promise<void> {
  const { forward } = await import('./forward.ts')
  await forward(args)
}

/** What else may be given more than once, by command. */
const LISTS: Readonly<Record<string, readonly string[]>> = {
  reverse: ['routes', 'listen'],
  replay: ['tapes', 'fault'],
  tape: ['files', 'secret-env'],
  verify: VERIFY_LISTS
}

/** yargs makes a list of an option that is given twice; which of the two was meant, nobody can know. */
function eachOnce(args: Readonly<Record<string, unknown>>): true {
  for (const [name, value] of Object.entries(args)) {
    const listed = LISTS[String((args._ as readonly unknown[])[0])] ?? []
    const single = /^[a-z][a-z-]*$/.test(name) && !REPEATABLE.includes(name) && !listed.includes(name)
    if (single && Array.isArray(value)) throw new UsageError(`--${name} is given more than once; give it once`)
  }
  return true
}
