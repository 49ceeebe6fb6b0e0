import { pathText } from '../config/problems.ts'
import { printable } from '../printable.ts'
import { valueText } from '../replay/json-diff.ts'
import type { Recording } from '../replay/recording.ts'
import { bindingsOf, NO_BINDINGS, type Use } from './bindings.ts'
import { placeOf } from './bound.ts'
import { listsOf } from './lists-only.ts'
import type { VerifyOptions } from './options.ts'
import { handleOf, isSpoken, nameOf, planOf } from './plan.ts'
import { preparationOf } from './prepare.ts'
import { placeText } from './text-report.ts'
import { writingSteps } from './writes.ts'

export interface DryRun {
  /** Safe for a terminal. */
  readonly lines: readonly string[]
  /** There is nothing that a check would send, whatever is allowed. */
  readonly isEmpty: boolean
}

/** What would be sent, in order, a line each. Nothing is. */
export function dryRun(recording: Recording, options: VerifyOptions): DryRun {
  const whole = planOf(recording, options.sessions)
  const plan = options.driftOnly ? listsOf(whole) : whole
  const bindings = options.noBind ? NO_BINDINGS : bindingsOf(plan)
  const { skipped, problems } = preparationOf(plan, bindings, options)
  const writing = writingSteps(plan, bindings)
  const lines: string[] = []
  let isEmpty = true
  for (const { conversation, step } of plan.acts) {
    if (!isSpoken(step)) continue
    const why = skipped.get(step)
    const word = why === undefined ? 'send' : writing.has(step) && !options.onlySafe ? 'refuse' : 'skip'
    if (word !== 'skip' && step.kind === 'request') isEmpty = false
    const mark = why === undefined && writing.has(step) ? '  (writes)' : ''
    const reason = why === undefined ? '' : `  ${why}`
    lines.push(printable(`${word.padEnd(6)}  ${handleOf(conversation)}  ${nameOf(step)}${mark}${reason}`))
    for (const use of bindings.uses.get(step) ?? []) lines.push(`        ${bindingText(use)}`)
  }
  return { lines: [...lines, ...problems.map(problem => printable(problem))], isEmpty }
}

function bindingText({ minted, path }: Use): string {
  const where = placeText(placeOf(minted.request, minted.path))
  return `${printable(pathText(path))}: ${valueText(minted.value)} is what the server says then at ${where}`
}
