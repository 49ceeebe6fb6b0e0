import type { Argv, Options } from 'yargs'
import { OPTIONS } from './forward-options.ts'

export interface VerifyArgs {
  tapes: string[]
  '--'?: string[]
  header: string[]
  token: string[]
  env: string[]
  cwd?: string
  ca?: string
  insecure: boolean
  'upstream-transport': 'auto' | 'streamable-http' | 'sse'
  'upstream-era': 'auto' | 'legacy' | 'modern'
  set: string[]
  session: string[]
  rules?: string
  timeout: string
  'allow-writes': boolean
  'only-safe': boolean
  'dry-run': boolean
  bind: boolean
  learn: boolean
  update: boolean
  'drift-only': boolean
  'fail-on': 'any' | 'breaking'
  reporter: string[]
}

const SERVER = ['header', 'env', 'cwd', 'ca', 'insecure', 'upstream-transport', 'upstream-era'] as const

const CHECK: Readonly<Record<string, Options>> = {
  'allow-writes': {
    type: 'boolean',
    default: false,
    describe: 'call tools that are not marked read-only as well; without it they are named, and nothing is sent'
  },
  'only-safe': { type: 'boolean', default: false, describe: 'leave them out, and what depends on them' },
  'dry-run': { type: 'boolean', default: false, describe: 'show what would be sent; send nothing' },
  session: list('only this session (its handle on the tape; modern: what has no session); repeatable'),
  timeout: {
    type: 'string',
    requiresArg: true,
    default: '30s',
    describe: 'how long the server may take for one request; begins anew with each message that belongs to it'
  },
  bind: {
    type: 'boolean',
    default: true,
    describe:
      'put what the server makes up anew (ids, cursors) in the place of what it made up then; --no-bind does not'
  },
  token: {
    ...list('sent as Authorization: Bearer, in the place of what redaction took out'),
    defaultDescription: 'none'
  },
  set: list("'/json/pointer=value' for what redaction took out of messages (:= for a value in JSON); repeatable")
}

const RESULTS: Readonly<Record<string, Options>> = {
  rules: {
    type: 'string',
    requiresArg: true,
    describe: 'file of rules: what of an answer need not be equal',
    defaultDescription: 'NAME.rules.yaml beside the first tape'
  },
  learn: {
    type: 'boolean',
    default: false,
    describe: 'run twice, and write what changes by itself into the file of rules'
  },
  update: { type: 'boolean', default: false, describe: "write the server's answers into the tape" },
  'drift-only': {
    type: 'boolean',
    default: false,
    describe: 'ask only for the lists (tools, prompts, resources), and compare them'
  },
  'fail-on': {
    choices: ['any', 'breaking'],
    default: 'any',
    requiresArg: true,
    describe: 'which changes of these lists count: any, or those that break clients'
  },
  reporter: {
    ...list('text, json or junit, with =FILE into a file; repeatable'),
    defaultDescription: 'text'
  }
}

/** Of its options, those that may be given more than once. */
export const VERIFY_LISTS: readonly string[] = ['tapes', 'set', 'session', 'reporter']

/** Every option of `catflap verify`, as its help shows it. */
export function verifyOptions(args: Argv): Argv<VerifyArgs> {
  const server = Object.fromEntries(SERVER.map(name => [name, OPTIONS[name]]))
  return args
    .usage(
      '$0 verify [options] <tapes..> <url>\n$0 verify [options] <tapes..> -- <command> [args…]\n\nSends a server what the client of a tape said, and compares its answers with those on the tape.\nTools that may change something are not called unless that is allowed.'
    )
    .group(Object.keys(CHECK), 'What is sent:')
    .group(Object.keys(RESULTS), 'What is compared and told:')
    .group([...SERVER], 'The server:')
    .positional('tapes', { type: 'string', array: true, describe: "tapes, and the server's URL behind them" })
    .options({ ...CHECK, ...RESULTS, ...server })
    .example('$0 verify a.tape.jsonl http://127.0.0.1:3001/mcp', 'the same answers as when it was recorded?')
    .example('$0 verify --learn a.tape.jsonl -- node server.js', 'leave out from now on what changes by itself')
    .example('$0 verify --drift-only --fail-on breaking a.tape.jsonl https://mcp.example/mcp', 'a gate for a pipeline')
    .example('$0 verify --only-safe --reporter junit=report.xml a.tape.jsonl -- node server.js', 'a report for CI')
    .epilogue(
      'Exit codes: 0 the same, 1 different, 2 wrong usage, or something that is not allowed, 3 the server cannot be reached.'
    ) as unknown as Argv<VerifyArgs>
}

function list(describe: string): Options {
  return { type: 'string', array: true, nargs: 1, default: [], defaultDescription: 'none', describe }
}
