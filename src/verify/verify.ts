import type { CatflapError } from '../errors.ts'
import { settings } from '../proxy/options.ts'
import { openTarget } from '../proxy/target.ts'
import type { RecordedRequest, Recording } from '../replay/recording.ts'
import { bindingsOf, NO_BINDINGS } from './bindings.ts'
import type { LiveRequest } from './live-request.ts'
import { type VerifyOptions, VerifyRefusal } from './options.ts'
import { type Plan, planOf } from './plan.ts'
import { preparationOf } from './prepare.ts'
import type { Report, RequestReport, RequestStatus } from './report.ts'
import { Run } from './run.ts'

const CONNECT_TIMEOUT = 10_000

/**
 * Has the recorded conversations again with a server, and reports how its answers differ from the recorded ones. Rejects with
 * VerifyRefusal before anything is sent where the tape asks for something that the options do not allow or supply, and with
 * TapeError where the tape was changed meanwhile.
 */
export async function verify(recording: Recording, options: VerifyOptions): Promise<Report> {
  return (await verifyWith(recording, options)).report
}

/** The same, for those who want the answers themselves. */
export async function verifyWith(
  recording: Recording,
  options: VerifyOptions,
  onAnswer?: (request: RecordedRequest, live: LiveRequest) => void
): Promise<{ readonly report: Report; readonly run: Run }> {
  const started = new Date().toISOString()
  const from = performance.now()
  const plan = planOf(recording, options.sessions)
  const bindings = options.noBind ? NO_BINDINGS : bindingsOf(plan)
  const { skipped, problems } = preparationOf(plan, bindings, options)
  if (problems.length > 0) throw new VerifyRefusal(problems)
  const connectTimeout = Math.min(CONNECT_TIMEOUT, options.timeout ?? CONNECT_TIMEOUT)
  const target = await openTarget(options.target, settings({ connectTimeout }))
  const run = new Run({ recording, plan, target, skipped, bindings, onAnswer }, options)
  try {
    await run.run()
  } finally {
    await target.close()
  }
  const ms = Math.round(performance.now() - from)
  return { report: reportOf(recording, plan, run, { target: target.label, started, ms }), run }
}

function reportOf(
  recording: Recording,
  plan: Plan,
  run: Run,
  facts: Pick<Report, 'target' | 'started' | 'ms'>
): Report {
  const sessions = plan.conversations.map(conversation => {
    const { session, era } = conversation
    const requests = conversation.steps.map(step => step.kind === 'request' && run.requests.get(step)).filter(r => !!r)
    const differences = run.played.get(conversation)?.differences ?? []
    return { ...(session !== undefined && { session }), era, requests, differences }
  })
  const all = sessions.flatMap(s => s.requests)
  const error = unreachable(run)
  const isDifferent = sessions.some(s => s.differences.length > 0) || all.some(r => r.status === 'different')
  const isRefused = all.some(r => r.status === 'refused')
  return {
    report: 'catflap-verify',
    version: 1,
    outcome: error ? 'unreachable' : isRefused ? 'refused' : isDifferent ? 'different' : 'same',
    tapes: recording.tapes.map(tape => tape.file),
    ...facts,
    counts: { requests: all.length, ...countsOf(all) },
    sessions,
    bindings: run.bound.report(),
    drift: { changes: [], breaking: 0 },
    ...(error && { error: error.message })
  }
}

function countsOf(all: readonly RequestReport[]): Record<RequestStatus, number> {
  const counts = { same: 0, different: 0, skipped: 0, refused: 0 }
  for (const { status } of all) counts[status]++
  return counts
}

/** What kept all from being answered. */
function unreachable({ played, failure }: Run): CatflapError | undefined {
  if ([...played.values()].some(p => p.session.answered)) return undefined
  return failure ?? [...played.values()].find(p => p.session.lost)?.session.lost
}
