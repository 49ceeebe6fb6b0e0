import { checkFault } from '../replay/faults.ts'
import { MATCH_MODES, REPEAT_MODES, type TapeTargetOptions } from '../replay/options.ts'
import { checkUrlTarget, fail } from './check-options.ts'

/** Throws a TypeError that names the option, the value and what is allowed. */
export function checkTape(target: TapeTargetOptions): void {
  const { tape, match = 'keyed', repeat = 'last', rules, onMiss = 'error', onDivergence = 'continue' } = target
  const { speed = 'instant', faults = [], seed = 0 } = target
  const files = [tape].flat()
  if (files.length === 0 || files.some(file => typeof file !== 'string' || file === ''))
    fail('target.tape', tape, "a tape like 'a.tape.jsonl', or several")
  if (!MATCH_MODES.includes(match)) fail('target.match', match, oneOf(MATCH_MODES))
  if (!REPEAT_MODES.includes(repeat)) fail('target.repeat', repeat, oneOf(REPEAT_MODES))
  if (rules !== undefined && (typeof rules !== 'string' || rules === '')) fail('target.rules', rules, 'a file of rules')
  if (onMiss !== 'error') {
    if (typeof onMiss?.url !== 'string') fail('target.onMiss', onMiss, "'error' or { url: 'http://…' }")
    checkUrlTarget(onMiss)
  }
  if (onDivergence !== 'continue' && onDivergence !== 'error')
    fail('target.onDivergence', onDivergence, "'continue' or 'error'")
  if (speed !== 'instant' && !(typeof speed === 'number' && speed > 0 && Number.isFinite(speed)))
    fail('target.speed', speed, "'instant' or a number above 0: 1 is as recorded")
  for (const fault of faults)
    if (!checkFault(fault)) fail('target.faults', fault, "like { kind: 'delay', ms: 200, share: 0.5 }")
  if (!Number.isSafeInteger(seed) || seed < 0) fail('target.seed', seed, 'a whole number from 0')
}

function oneOf(words: readonly string[]): string {
  return words.map(word => `'${word}'`).join(' or ')
}
