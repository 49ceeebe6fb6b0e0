import { MalformedMessage, Message } from '../protocol/message.ts'
import type { BindingPlan } from './bindings.ts'
import type { VerifyOptions } from './options.ts'
import { isSpoken, nameOf, type Plan, type Spoken } from './plan.ts'
import { illegalHeader, redactionProblems } from './redactions.ts'
import { subjectText, writingSteps } from './writes.ts'

export interface Preparation {
  /** What is not sent, and why. */
  readonly skipped: ReadonlyMap<Spoken, string>
  /** What has to be allowed or supplied first: a sentence each. */
  readonly problems: readonly string[]
}

/** Looks at all that would be sent, before anything is. */
export function preparationOf(plan: Plan, bindings: BindingPlan, options: VerifyOptions): Preparation {
  const writing = options.allowWrites ? new Map<Spoken, string>() : writingSteps(plan, bindings)
  const skipped = new Map<Spoken, string>()
  for (const { step } of plan.acts) {
    const why = isSpoken(step) ? whyNot(step, skipped, bindings, options) : undefined
    if (why !== undefined) skipped.set(step as Spoken, why)
    else if (isSpoken(step) && writing.has(step)) skipped.set(step, `it may change something: ${writing.get(step)}`)
  }
  const problems = options.onlySafe ? [] : writeProblems(writing)
  const sends = (step: Spoken): boolean => !skipped.has(step) || writing.has(step)
  problems.push(...redactionProblems(plan, options, sends))
  // A check that looks at nothing proves nothing.
  if (problems.length === 0) problems.push(...nothingLeft(plan, skipped))
  return { skipped, problems }
}

function nothingLeft({ acts }: Plan, skipped: ReadonlyMap<Spoken, string>): string[] {
  const requests = acts.map(({ step }) => step).filter(step => step.kind === 'request')
  const [first] = requests
  if (!first) return ['the tape holds no request that could be sent']
  if (requests.some(step => !skipped.has(step))) return []
  return [`none of the tape's requests would be sent; ${nameOf(first)}: ${skipped.get(first)}`]
}

/** What can not be sent, or would be about something that was not sent. */
function whyNot(
  step: Spoken,
  skipped: ReadonlyMap<Spoken, string>,
  bindings: BindingPlan,
  { target }: VerifyOptions
): string | undefined {
  if (step.kind === 'request' && step.truncated) return 'the tape holds only its beginning'
  if (!isMessage(step)) return 'it is no message that could be sent'
  const header = 'url' in target ? illegalHeader(step) : undefined
  if (header !== undefined) return `HTTP allows no header like its ${header}`
  if (step.kind === 'request' && !step.cancelled && isOwn(step.outcome))
    return 'catflap itself answered it when it was recorded'
  if (step.kind === 'notification' && step.cancels && skipped.has(step.cancels)) return 'its request is not sent'
  const source = bindings.uses.get(step)?.find(use => skipped.has(use.minted.request))
  return source && `it needs the answer to ${nameOf(source.minted.request)}, which is not sent`
}

function isMessage(step: Spoken): boolean {
  try {
    // As strictly as a client's: what names a tool twice may call another one than it seems to.
    Message.parse(Buffer.from(step.text.get()))
    return true
  } catch (error) {
    if (error instanceof MalformedMessage) return false
    throw error
  }
}

function isOwn(outcome: { readonly kind: string; readonly own?: boolean }): boolean {
  return outcome.own === true
}

const MAX_NAMES = 50

/** Each tool or method once, with how often it would be called. */
function writeProblems(writing: ReadonlyMap<Spoken, string>): string[] {
  const counts = new Map<string, { count: number; readonly why: string; readonly first: Spoken }>()
  for (const [step, why] of writing) {
    const name = subjectText(step)
    const known = counts.get(name)
    if (known) known.count++
    else counts.set(name, { count: 1, why, first: step })
  }
  if (counts.size === 0) return []
  const lines = [...counts].slice(0, MAX_NAMES).map(([name, { count, why, first }]) => {
    const times = count === 1 ? '' : `, ${count} times, first`
    return `${name}${times} at ${first.place.file}:${first.place.line}: ${why}`
  })
  if (counts.size > MAX_NAMES) lines.push(`and ${counts.size - MAX_NAMES} more`)
  return [...lines, 'nothing was sent. Allow these with --allow-writes, or leave them out with --only-safe']
}
