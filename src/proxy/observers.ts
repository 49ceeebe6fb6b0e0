import type { Log } from '../log.ts'
import type { FrameBus } from '../tape/bus.ts'
import type { TapeTarget } from '../tape/format.ts'
import type { LiveFeed } from '../tape/live.ts'
import type { TapeRecorder } from '../tape/recorder.ts'
import type { Redactor } from '../tape/redact.ts'
import { VERSION } from '../version.ts'
import type { RecordOptions } from './forward.ts'
import type { TargetOptions, WeightedUrl } from './target.ts'

const SOFTWARE = { name: 'catflap', version: VERSION }

interface Given {
  readonly bus: FrameBus
  readonly redactor: Redactor
  readonly log: Log
}

interface Observed {
  readonly target: TargetOptions | readonly WeightedUrl[]
  readonly record?: RecordOptions
  readonly live?: boolean
}

/** The tape, where one is asked for. */
export async function openRecorder(options: Observed, given: Given): Promise<TapeRecorder | undefined> {
  if (!options.record) return undefined
  const { TapeRecorder } = await import('../tape/recorder.ts')
  const { bus, redactor, log } = given
  let unsubscribe = (): void => {}
  const recorder = await TapeRecorder.open({
    ...options.record,
    target: tapeTarget(options.target),
    software: SOFTWARE,
    redactor,
    onStall: ms =>
      log.warn(
        'recording-stalled',
        `the tape takes nothing: traffic has waited ${ms} ms for it (--record-overflow drop would let it pass)`
      ),
    onError: reason => {
      log.error('recording-stopped', `recording stopped: ${reason}. The proxy goes on without a tape.`)
      unsubscribe()
    }
  })
  if (!recorder.failed) unsubscribe = bus.subscribe(recorder)
  return recorder
}

/** What `catflap tail` connects to, where that is wanted and possible. */
export async function openFeed(
  options: Observed,
  { bus, redactor, log }: Given,
  url: string | undefined
): Promise<LiveFeed | undefined> {
  if (!options.live) return undefined
  try {
    const { LiveFeed } = await import('../tape/live.ts')
    return await LiveFeed.open(bus, { target: tapeTarget(options.target), software: SOFTWARE, redactor, url })
  } catch (error) {
    log.warn('tail-unavailable', error instanceof Error ? error.message : String(error))
    return undefined
  }
}

/** Of several, the first stands for all: they answer alike. */
function tapeTarget(given: TargetOptions | readonly WeightedUrl[]): TapeTarget {
  const target = Array.isArray(given) ? given[0]! : (given as TargetOptions)
  if ('tape' in target) return { kind: 'tape', url: `tape:${[target.tape].flat().join(',')}` }
  return 'url' in target
    ? { kind: target.transport === 'sse' ? 'sse' : 'http', url: target.url }
    : { kind: 'stdio', argv: [target.command, ...(target.args ?? [])] }
}
