import type { ForwardOptions } from '../proxy/forward.ts'
import { MAX_DURATION, parseDuration } from '../proxy/options.ts'
import { checkFault, type FaultRule, parseFault } from '../replay/faults.ts'
import type { MissServer, TapeTargetOptions } from '../replay/options.ts'
import { runForward } from './forward.ts'
import { optionsFor, urlTargetOf } from './forward-args.ts'
import type { ForwardArgs } from './forward-options.ts'
import { Progress } from './progress.ts'
import type { ReplayArgs } from './replay-options.ts'
import { UsageError } from './usage.ts'

/** What the server's own options are where there is none. */
const NO_SERVER = { env: [], 'upstream-transport': 'auto', 'upstream-era': 'auto' } as const

/** `catflap replay`: its options are in replay-options.ts. */
export async function replay(args: ReplayArgs): Promise<void> {
  const { forward, options } = replayCallOf(args)
  await runForward(forward, options, args['strict-unused'])
}

/** What the arguments mean. Throws UsageError, which names the option and shows the right form. */
export function replayCallOf(args: ReplayArgs): { readonly forward: ForwardArgs; readonly options: ForwardOptions } {
  const forward = { ...args, ...NO_SERVER, env: [] } as ForwardArgs & ReplayArgs
  return { forward, options: optionsFor(forward, tapeTargetOf(forward)) }
}

function tapeTargetOf(args: ReplayArgs): TapeTargetOptions {
  const { tapes, match, repeat, rules, seed } = args
  if (tapes.some(tape => tape === '')) throw new UsageError("a tape's name is empty; write catflap replay FILE…")
  const onMiss = onMissOf(args)
  return {
    tape: tapes,
    match,
    repeat,
    onMiss,
    onDivergence: args['on-divergence'],
    speed: speedOf(args.speed),
    faults: args.fault.map(faultOf),
    ...(rules !== undefined && { rules }),
    ...(seed !== undefined && { seed: seedOf(seed) }),
    ...(process.stderr.isTTY && { onProgress: showProgress() })
  }
}

function onMissOf(args: ReplayArgs): 'error' | MissServer {
  const given = args['on-miss']
  if (given === 'error') {
    if (args.header.length > 0 || args.ca !== undefined || args.insecure)
      throw new UsageError('--header, --ca and --insecure go with --on-miss URL: without it nobody is asked')
    return 'error'
  }
  const record = given.startsWith('record:')
  const url = record ? given.slice('record:'.length) : given
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
    throw new UsageError(`--on-miss '${given}': give error, a URL (http://…), or record:URL`)
  return { ...urlTargetOf(args, url), ...(record && { record }) }
}

function speedOf(text: string): 'instant' | number {
  if (text === 'instant') return text
  if (text === 'real') return 1
  const factor = /^(\d{1,6}(?:\.\d{1,6})?)x?$/.exec(text)?.[1]
  if (factor === undefined || Number(factor) === 0)
    throw new UsageError(`--speed '${text}': give instant, real, or a factor like 2x or 0.5x`)
  return Number(factor)
}

function faultOf(text: string): FaultRule {
  let rule: FaultRule
  try {
    rule = parseFault(text, parseDuration)
  } catch (error) {
    throw new UsageError(`--fault ${(error as Error).message}`)
  }
  if (!checkFault(rule))
    throw new UsageError(`--fault '${text}': a delay is at most ${Math.floor(MAX_DURATION / 3_600_000)}h`)
  return rule
}

function seedOf(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new UsageError(`--seed '${text}' is no whole number`)
  return Number(text)
}

function showProgress(): (read: number, total: number) => void {
  const progress = new Progress()
  return (read, total) => (read >= total ? progress.end() : progress.reading(read, total))
}
