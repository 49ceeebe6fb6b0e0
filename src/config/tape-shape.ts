import { parseDuration } from '../proxy/options.ts'
import { FAULT_PATTERN, parseFault } from '../replay/faults.ts'
import { MATCH_MODES, REPEAT_MODES } from '../replay/options.ts'
import * as f from './formats.ts'
import { choice, flag, text } from './scalars.ts'
import { key, list, object } from './shape.ts'

/** A tape in the place of a server, as the configuration file has it. */

const speed = text<'instant' | number>({
  type: '`instant`, `real`, or a factor',
  pattern: 'instant|real|(?=.*[1-9])\\d{1,6}(?:\\.\\d{1,6})?x?',
  allowed: 'instant, real, or a factor like 2x or 0.5x',
  plain: { type: 'number', exclusiveMinimum: 0 },
  secrecy: 'never',
  parse: given => (given === 'instant' ? given : given === 'real' ? 1 : Number(given.replace('x', '')))
})

const fault = text({
  type: 'fault',
  pattern: FAULT_PATTERN,
  allowed: 'a fault like drop:0.1, delay:200ms:0.5, error:0.05 or cut:3, with METHOD= before it for one method',
  secrecy: 'never',
  parse: given => parseFault(given, parseDuration)
})

export const tape = object(
  {
    files: key(list(f.file, 'list of paths', 1), 'tapes, or folders with one tape a session', { required: true }),
    match: key(choice(MATCH_MODES), 'how requests find their recordings', { fallback: 'keyed' }),
    repeat: key(choice(REPEAT_MODES), 'what equal requests get when each of their recordings was used', {
      fallback: 'last'
    }),
    rules: key(f.file, 'what of a request need not be equal', {
      otherwise: 'the file `NAME.rules.yaml` beside the first tape, where there is one'
    }),
    onMiss: key(f.url, 'the server that is asked what is not on the tape', { otherwise: 'nobody; it is an error' }),
    record: key(flag, "add that server's answers to the first tape", { fallback: false }),
    onDivergence: key(
      choice(['continue', 'error']),
      "what becomes of a call whose client answers the server's question otherwise than recorded",
      { fallback: 'continue' }
    ),
    speed: key(speed, 'with the recorded pauses (`real`), so many times as fast, or without pauses', {
      fallback: 'instant'
    }),
    faults: key(list(fault, 'list of faults'), 'what goes wrong on purpose', {
      otherwise: 'none',
      examples: [['drop:0.1', 'tools/call=delay:200ms:0.5']]
    }),
    seed: key(f.count(0), 'makes faults the same again', { otherwise: 'made up' })
  },
  {
    name: 'tape',
    goesWith: { record: ['onMiss'], seed: ['faults'] },
    hints: { file: 'files', path: 'files', onmiss: 'onMiss' }
  }
)
