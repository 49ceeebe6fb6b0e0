// biome-ignore-all lint/suspicious/noTemplateCurlyInString: references of configuration files look like that
import type { Argv, CommandModule } from 'yargs'
import type { Configuration } from '../config/build.ts'
import type { ClientForm } from '../config/clients.ts'
import { printable } from '../printable.ts'
import { lineWriter } from './line-writer.ts'
import { UsageError } from './usage.ts'

interface CheckArgs {
  file: string
}

const checkCommand: CommandModule<object, CheckArgs> = {
  command: 'check <file>',
  describe: 'check a configuration file, with the files and variables that it names',
  builder: args =>
    fileOption(args)
      .example('$0 config check catflap.yaml', 'exit code 0: fine; 1: not, with all that is wrong')
      .example('TOKEN=x $0 config check catflap.yaml', 'where the file takes ${TOKEN}, any value will do'),
  handler: async ({ file }) => {
    const configuration = await readOrComplain(file, process.stdout)
    if (configuration) lineWriter(process.stdout)(`${printable(file)}: fine, ${summary(configuration)}\n`)
  }
}

/** `2 routes (github, files), 1 listener at 127.0.0.1:7890`. */
function summary({ options }: Configuration): string {
  const names = Object.keys(options.routes)
  const shown = names.length > MAX_NAMES ? [...names.slice(0, MAX_NAMES), '…'] : names
  const listeners = (options.listeners ?? []).map(
    ({ host = '', port }) => `${host.includes(':') ? `[${host}]` : host}:${port}`
  )
  return `${many(names.length, 'route')} (${shown.join(', ')}), ${many(listeners.length, 'listener')} at ${printable(listeners.join(', '))}`
}

const MAX_NAMES = 10

function many(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`
}

/** What is unwise goes to stderr; what is wrong to `to`, and then the exit code is 1. */
async function readOrComplain(file: string, to: NodeJS.WritableStream): Promise<Configuration | undefined> {
  const { problemText } = await import('../config/problems.ts')
  const { readConfigFile } = await import('../config/read.ts')
  const { configuration, problems, left, warnings } = await readConfigFile(file)
  const [print, warn] = [lineWriter(to), lineWriter(process.stderr)]
  for (const problem of problems) print(`${printable(problemText(problem))}\n`)
  if (left > 0) print(`… and ${left} more\n`)
  for (const problem of warnings) {
    const { file: name, line, column } = problem
    const place = `${name}:${line}:${column}: `
    warn(`${printable(`${place}warning: ${problemText(problem).slice(place.length)}`)}\n`)
  }
  if (!configuration) process.exitCode = 1
  return configuration
}

const schemaCommand: CommandModule = {
  command: 'schema',
  describe: 'print the JSON Schema of configuration files, for editors',
  builder: args =>
    args
      .example('$0 config schema > catflap.schema.json', 'a file for the editor')
      .example(
        '# yaml-language-server: $schema=catflap.schema.json',
        'as the first line of a YAML file; in JSON "$schema": "catflap.schema.json"'
      ),
  handler: async () => {
    const { jsonSchema } = await import('../config/schema.ts')
    lineWriter(process.stdout)(`${JSON.stringify(jsonSchema(), undefined, 2)}\n`)
  }
}

interface ClientsArgs extends CheckArgs {
  'base-url'?: string
  for: ClientForm
}

const clientsCommand: CommandModule<object, ClientsArgs> = {
  command: 'clients <file>',
  describe: 'print entries for the configuration of clients, one a route',
  builder: args =>
    fileOption(args)
      .option('base-url', {
        type: 'string',
        requiresArg: true,
        describe: 'where clients find catflap',
        defaultDescription: 'the first listener'
      })
      .option('for', {
        choices: ['json', 'claude', 'vscode'] as const,
        default: 'json' as const,
        requiresArg: true,
        describe: 'mcpServers, which most clients read; commands for Claude Code; or .vscode/mcp.json'
      })
      .example('$0 config clients catflap.yaml', 'mcpServers, with YOUR_TOKEN where a token goes')
      .example('$0 config clients catflap.yaml --for claude', 'a line to run for each route')
      .example('$0 config clients catflap.yaml --base-url https://mcp.example.com', 'behind a proxy of your own'),
  handler: args => clients(args)
}

async function clients({ file, 'base-url': baseUrl, for: form }: ClientsArgs): Promise<void> {
  if (baseUrl !== undefined && !(/^https?:\/\/[^?#]+$/.test(baseUrl) && URL.canParse(baseUrl)))
    throw new UsageError(`--base-url '${baseUrl}' is no URL; write --base-url https://mcp.example.com`)
  const configuration = await readOrComplain(file, process.stderr)
  if (!configuration) return
  const { clientEntries, clientText } = await import('../config/clients.ts')
  try {
    const text = clientText(clientEntries(configuration.options, baseUrl), form)
    lineWriter(process.stdout)(`${text}\n`)
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
    throw new UsageError(`${error.message}; say where clients find it: --base-url http://HOST:PORT`)
  }
}

function fileOption<T>(args: Argv<T>): Argv<T & CheckArgs> {
  return args.positional('file', {
    type: 'string',
    demandOption: true,
    describe: 'a configuration file, in YAML or JSON'
  })
}

export const configCommand: CommandModule = {
  command: 'config',
  describe: 'check a configuration file, print its schema, or entries for clients',
  builder: args =>
    args
      .command(checkCommand)
      .command(schemaCommand)
      .command(clientsCommand)
      .demandCommand(1, 'Name what to do: check, schema or clients.')
      .example('$0 config check catflap.yaml', 'all that is wrong, with line and column'),
  handler: () => {}
}
