import { settings } from '../proxy/options.ts'
import { openTarget } from '../proxy/target.ts'
import type { Conversation, RecordedRequest, Recording } from '../replay/recording.ts'
import { DEFAULT_RULES, type Rules } from '../replay/rules.ts'
import { Answers } from './answers.ts'
import { bindingsOf, NO_BINDINGS } from './bindings.ts'
import { Comparer } from './compare.ts'
import { LISTS } from './drift.ts'
import { withoutSecrets } from './hidden.ts'
import { listsOf } from './lists-only.ts'
import type { LiveAnswer } from './live-request.ts'
import { type VerifyOptions, VerifyRefusal } from './options.ts'
import { type Plan, placeFacts, planOf, type Spoken } from './plan.ts'
import { preparationOf } from './prepare.ts'
import { isRedactedFrom } from './redactions.ts'
import type { RequestReport, RequestStatus, Unsent, VerifyReport } from './report.ts'
import { Run } from './run.ts'
import { secretsOf } from './secrets.ts'

const CONNECT_TIMEOUT = 10_000

/**
 * Has the recorded conversations again with a server, and reports how its answers differ from the recorded ones. Rejects with
 * VerifyRefusal before anything is sent where the tape asks for something that the options do not allow or supply, and with
 * TapeError where the tape was changed meanwhile.
 */
export async function verify(recording: Recording, options: VerifyOptions): Promise<VerifyReport> {
  return (await verifyOnce(recording, options)).report()
}

/** One run, and what it leaves. */
export interface Verified {
  readonly run: Run
  /** To be closed. */
  readonly answers: Answers
  /** As the rules have it. */
  report(rules?: Rules): VerifyReport
}

/** The same, with the answers themselves where `keep` says so. */
export async function verifyOnce(recording: Recording, options: VerifyOptions, keep = false): Promise<Verified> {
  const started = new Date().toISOString()
  const from = performance.now()
  const whole = planOf(recording, options.sessions)
  const plan = options.driftOnly ? listsOf(whole) : whole
  // Both runs of a pair find the same values: what they are now is compared by what they were.
  const bindings = options.noBind ? NO_BINDINGS : bindingsOf(plan)
  const { skipped, problems } = preparationOf(plan, bindings, options)
  if (problems.length > 0) throw new VerifyRefusal(problems)
  const connectTimeout = Math.min(CONNECT_TIMEOUT, options.timeout ?? CONNECT_TIMEOUT)
  const secrets = secretsOf(options)
  const scrub = (text: string): string => secrets.scrub(text)
  const target = await openTarget(options.target, settings({ connectTimeout }), { scrub })
  const answers = new Answers()
  const onAnswer = keep ? (r: RecordedRequest, live: LiveAnswer): void => answers.add(r, live) : undefined
  const run = new Run({ recording, plan, target, skipped, bindings, onAnswer }, options)
  try {
    await run.run()
  } catch (error) {
    answers.close()
    throw error
  } finally {
    await target.close()
  }
  const facts = { skipped, target: target.label, started, ms: Math.round(performance.now() - from) }
  return {
    run,
    answers,
    report(rules) {
      if (!rules) return withoutSecrets(reportOf(recording, plan, run, options, facts), secrets)
      run.recompare(answers, new Comparer(recording, rules, run.bound))
      return withoutSecrets(reportOf(recording, plan, run, { ...options, rules }, facts), secrets)
    }
  }
}

function reportOf(
  recording: Recording,
  plan: Plan,
  run: Run,
  options: VerifyOptions,
  { skipped, ...facts }: Pick<VerifyReport, 'target' | 'started' | 'ms'> & { skipped: ReadonlyMap<Spoken, string> }
): VerifyReport {
  const sessions = plan.conversations.map(conversation => {
    const { session, era } = conversation
    const requests = conversation.steps.map(step => run.requests.get(step as RecordedRequest)).filter(r => !!r)
    const played = run.played.get(conversation)
    // A server that answers nothing has not asked otherwise.
    const differences = played && !played.isRefused ? played.differences : []
    const unsent = unsentOf(conversation, skipped)
    const more = unsent.length > 0 ? { unsent } : {}
    return { ...(session !== undefined && { session }), era, requests, differences, ...more }
  })
  const all = sessions.flatMap(s => s.requests)
  const isInterrupted = options.signal?.aborted === true
  const error = isInterrupted ? ENDED : unreachable(run)
  const drift = run.offers.drift(
    options.rules ?? DEFAULT_RULES,
    (old, now, request) => isRedactedFrom(old, now) || run.bound.isSame(old, now, request)
  )
  const { failOn = 'any' } = options
  // Of lists that were answered, what counts is what has changed in them.
  const isListed = (r: RequestReport): boolean =>
    LISTS.has(r.method) && r.differences.every(d => d.path.startsWith('result.'))
  const counts = (r: RequestReport): boolean => r.status === 'different' && (failOn === 'any' || !isListed(r))
  const isDifferent =
    sessions.some(s => s.differences.length > 0) ||
    all.some(counts) ||
    (failOn === 'any' ? drift.changes.length : drift.breaking) > 0
  const isRefused = all.some(r => r.status === 'refused')
  return {
    report: 'catflap-verify',
    version: 1,
    outcome: isInterrupted
      ? 'interrupted'
      : error !== undefined
        ? 'unreachable'
        : isRefused
          ? 'refused'
          : isDifferent
            ? 'different'
            : 'same',
    tapes: recording.tapes.map(tape => tape.file),
    ...facts,
    counts: { requests: all.length, ...countsOf(all) },
    sessions,
    bindings: run.bound.report(),
    drift,
    failOn,
    ...(error !== undefined && { error })
  }
}

const ENDED = 'the check was ended before all was asked and answered'

function countsOf(all: readonly RequestReport[]): Record<RequestStatus, number> {
  const counts = { same: 0, different: 0, skipped: 0, refused: 0 }
  for (const { status } of all) counts[status]++
  return counts
}

function unsentOf({ steps }: Conversation, skipped: ReadonlyMap<Spoken, string>): Unsent[] {
  const notifications = steps.filter(step => step.kind === 'notification')
  return notifications.flatMap(step => {
    const reason = skipped.get(step)
    return reason === undefined ? [] : [{ method: step.method, place: placeFacts(step.place), reason }]
  })
}

/** What kept all from being answered. */
function unreachable(run: Run): string | undefined {
  const sessions = [...run.played.values()].map(p => p.session)
  if (sessions.some(s => s.answered) || !run.hasSent) return undefined
  const error = run.failure ?? sessions.find(s => s.lost)?.lost
  return error?.message ?? 'the server has not answered anything in time; --timeout gives it longer'
}
