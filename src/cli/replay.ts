import { scrubbedJson } from '../log.ts'
import { printable, printableJson } from '../printable.ts'
import { parseDuration } from '../proxy/options.ts'
import { type FaultRule, parseFault } from '../replay/faults.ts'
import type { MissServer, TapeTargetOptions } from '../replay/options.ts'
import { findingText, missText, type ReplayFinding, type ReplaySummary } from '../replay/report.ts'
import { runForward } from './forward.ts'
import { optionsFor, urlTargetOf } from './forward-args.ts'
import type { ForwardArgs } from './forward-options.ts'
import { lineWriter } from './line-writer.ts'
import { Progress } from './progress.ts'
import type { ReplayArgs } from './replay-options.ts'
import { UsageError } from './usage.ts'

/** What the server's own options are where there is none. */
const NO_SERVER = { env: [], 'upstream-transport': 'auto', 'upstream-era': 'auto' } as const

/** `catflap replay`: its options are in replay-options.ts. */
export async function replay(args: ReplayArgs): Promise<void> {
  const all = { ...args, ...NO_SERVER, env: [] } as ForwardArgs & ReplayArgs
  const target = tapeTargetOf(all)
  await runForward(all, optionsFor(all, target), (proxy, scrub) => {
    const summary = proxy.replay
    if (summary) conclude(summary, args, scrub)
  })
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
  try {
    return parseFault(text, parseDuration)
  } catch (error) {
    throw new UsageError(`--fault ${(error as Error).message}`)
  }
}

function seedOf(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new UsageError(`--seed '${text}' is no whole number`)
  return Number(text)
}

function showProgress(): (read: number, total: number) => void {
  const progress = new Progress()
  return (read, total) => (read >= total ? progress.end() : progress.reading(read, total))
}

/** The closing summary, and the exit code that follows from it. */
function conclude(summary: ReplaySummary, args: ReplayArgs, scrub: (text: string) => string): void {
  const { misses, divergences, unused } = summary
  const failed = misses > 0 || divergences > 0 || (args['strict-unused'] && unused > 0)
  if (failed) process.exitCode = 1
  const write = lineWriter(process.stderr)
  if (args['log-format'] === 'json')
    return write(`${printableJson(scrubbedJson({ event: 'replayed', ...summary }, scrub))}\n`)
  for (const line of summaryLines(summary)) write(`catflap: ${printable(scrub(line))}\n`)
}

/** Of each kind, so many are shown. */
const SHOWN = 10

export function summaryLines(summary: ReplaySummary): string[] {
  const { requests, hits, asked, misses, divergences, unused, faults, details, seed } = summary
  const made = Object.entries(faults).map(([kind, count]) => `${count} ${kind}`)
  return [
    `replayed: ${count(requests, 'request')}, ${count(hits, 'hit')}, ${asked > 0 ? `${asked} asked of the server, ` : ''}${count(misses, 'miss', 'misses')}, ${count(divergences, 'divergence')}; ${count(unused, 'recorded request')} never made`,
    ...listed('miss', details.misses, misses, missText),
    ...listed('divergence', details.divergences, divergences),
    ...listed('unused', details.unused, unused),
    ...(seed === undefined ? [] : [`faults on purpose: ${made.join(', ') || 'none'} (--seed ${seed} makes them again)`])
  ]
}

function listed(
  word: string,
  findings: readonly ReplayFinding[],
  all: number,
  toText: (finding: ReplayFinding) => string = findingText
): string[] {
  const shown = findings.slice(0, SHOWN).map(finding => `  ${word}: ${toText(finding)}`)
  return all > shown.length ? [...shown, `  … and ${all - shown.length} more`] : shown
}

function count(n: number, one: string, many = `${one}s`): string {
  return `${n} ${n === 1 ? one : many}`
}
