import type { Argv, Options } from 'yargs'
import { MATCH_MODES, REPEAT_MODES } from '../replay/options.ts'
import { type ForwardArgs, OPTIONS, settingOptions } from './forward-options.ts'

export interface ReplayArgs extends ForwardArgs {
  tapes: string[]
  match: 'keyed' | 'strict' | 'method'
  repeat: 'last' | 'cycle' | 'error'
  rules?: string
  'on-miss': string
  'on-divergence': 'continue' | 'error'
  speed: string
  fault: string[]
  seed?: string
  'strict-unused': boolean
}

/** Of the options of forward, those that are about clients, and about whoever is asked instead of the tape. */
export const FROM_FORWARD = [
  ...['listen', 'stdio', 'path', 'via', 'token', 'allow-unauthenticated', 'allow-host', 'allow-origin'],
  ...['record', 'record-overflow', 'record-max-message', 'redact-header', 'redact-json', 'tail'],
  ...['log-level', 'log-format', 'metrics', 'metrics-max-names', 'admin', 'header', 'ca', 'insecure']
] as const

export const REPLAY: Readonly<Record<string, Options>> = {
  match: {
    choices: MATCH_MODES,
    default: 'keyed',
    requiresArg: true,
    describe: 'how requests find their recordings: by all they say, also in recorded order, or by method and name alone'
  },
  repeat: {
    choices: REPEAT_MODES,
    default: 'last',
    requiresArg: true,
    describe: 'what equal requests get when each of their recordings was used'
  },
  rules: {
    type: 'string',
    requiresArg: true,
    describe: 'file of rules: what of a request need not be equal',
    defaultDescription: 'NAME.rules.yaml beside the first tape'
  },
  'on-miss': {
    type: 'string',
    requiresArg: true,
    default: 'error',
    describe: 'what is not on the tape: error, the URL of a server to ask, or record:URL to add its answers to the tape'
  },
  'on-divergence': {
    choices: ['continue', 'error'],
    default: 'continue',
    requiresArg: true,
    describe: "when a client answers the server's questions otherwise than recorded"
  },
  speed: {
    type: 'string',
    requiresArg: true,
    default: 'instant',
    describe: 'instant, real (with the recorded pauses), or so many times as fast: 2x, 0.5x'
  },
  fault: {
    type: 'string',
    array: true,
    nargs: 1,
    default: [],
    defaultDescription: 'none',
    describe:
      'goes wrong on purpose: drop:0.1, error:0.05, delay:200ms:0.5, cut:3 (after 3 events); tools/call=… for one method; repeatable'
  },
  seed: {
    type: 'string',
    requiresArg: true,
    describe: 'a number: the same faults again',
    defaultDescription: 'made up'
  },
  'strict-unused': {
    type: 'boolean',
    default: false,
    describe: 'exit code 1 also where recorded requests were never made'
  }
}

/** Every option of `catflap replay`, as its help shows it. */
export function replayOptions(args: Argv): Argv<ReplayArgs> {
  const shared = Object.fromEntries(FROM_FORWARD.map(name => [name, OPTIONS[name]]))
  const all = args
    .usage(
      '$0 replay [options] <tapes..>\n\nServes tapes in the place of the server that was recorded, to clients on any transport: no server is needed.\nWhat is not on the tape is an error that shows the closest request; nothing is guessed.'
    )
    .group(Object.keys(REPLAY), 'Replay:')
    .group(['listen', 'stdio', 'path', 'via'], 'Clients:')
    .group(['header', 'ca', 'insecure'], 'The server of --on-miss:')
    .group(
      ['record', 'record-overflow', 'record-max-message', 'redact-header', 'redact-json', 'tail'],
      'Recording and watching:'
    )
    .group(['token', 'allow-unauthenticated', 'allow-host', 'allow-origin'], 'Who may come in:')
    .group(['log-level', 'log-format', 'metrics', 'metrics-max-names', 'admin'], 'Log, metrics and operators:')
    .positional('tapes', { type: 'string', array: true, describe: 'tapes, or folders with one tape a session' })
    .options({ ...shared, ...REPLAY })
    .example('$0 replay a.tape.jsonl', 'clients connect to http://127.0.0.1:7890/mcp')
    .example('$0 replay --stdio a.tape.jsonl', 'as the command of a client')
    .example('$0 replay --listen 0 --match strict --repeat error a.tape.jsonl', 'each request once, in recorded order')
    .example('$0 replay --on-miss record:http://127.0.0.1:3001/mcp a.tape.jsonl', 'ask the server, and keep the answer')
    .example('$0 replay --fault tools/call=delay:200ms:0.5 --seed 7 a.tape.jsonl', 'half of all calls are slow')
    .epilogue(
      'At the end it says on stderr what was found and what not. Exit codes: 0 every request was on the tape, 1 misses, divergences or a failure, 2 wrong usage.'
    )
  return settingOptions(all) as unknown as Argv<ReplayArgs>
}
