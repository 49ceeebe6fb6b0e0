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

/** What would be sent, in order: a line each, safe for a terminal. Nothing is. */
export function dryRun(recording: Recording, options: VerifyOptions): string[] {
  const whole = planOf(recording, options.sessions)
  const plan = options.driftOnly ? listsOf(whole) : whole
  const bindings = options.noBind ? NO_BINDINGS : bindingsOf(plan)
  const { skipped, problems } = preparationOf(plan, bindings, options)
  const writing = writingSteps(plan, bindings)
  const lines: string[] = []
  for (const { conversation, step } of plan.acts) {
    if (!isSpoken(step)) continue
    const why = skipped.get(step)
    const word = why === undefined ? 'send' : writing.has(step) && !options.onlySafe ? 'refuse' : 'skip'
    const mark = why === undefined && writing.has(step) ? '  (writes)' : ''
    const reason = why === undefined ? '' : `  ${why}`
    lines.push(printable(`${word.padEnd(6)}  ${handleOf(conversation)}  ${nameOf(step)}${mark}${reason}`))
    for (const use of bindings.uses.get(step) ?? []) lines.push(`        ${bindingText(use)}`)
  }
  return [...lines, ...problems.map(problem => printable(problem))]
}

function bindingText({ minted, path }: Use): string {
  const where = placeText(placeOf(minted.request, minted.path))
  return `${printable(pathText(path))}: ${valueText(minted.value)} is what the server says then at ${where}`
}
