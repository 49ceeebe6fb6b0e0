/** Whatever was said: who says the same again to the tape is told the same again. */
import path from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { trackLeaks } from '../helpers/leaks.ts'
import { type Happening, play, type Script, type ScriptedRequest, startScripted, type Told } from './scripted.ts'

/** Most of all that this may take, in ms; how many scripts that are is the machine's affair. */
const LIMIT = 12_000
const SEED = Number(process.env.REPLAY_SEED ?? (Date.now() ^ (process.pid << 8)) >>> 0)

const word = fc.string({ unit: fc.constantFrom('a', 'é', '"', '\\', '\u2028', '😀', ' '), maxLength: 6 })
const lists = fc.constantFrom('tools', 'prompts', 'resources')
const saying: fc.Arbitrary<Happening> = fc.oneof(
  fc.record({ kind: fc.constantFrom('progress' as const, 'log' as const), text: word }),
  fc.record({ kind: fc.constant('change' as const), text: lists })
)
const asking: fc.Arbitrary<Happening> = fc.record({
  kind: fc.constantFrom('sampling' as const, 'elicitation' as const, 'roots' as const),
  text: word
})
/** Of few kinds, so that many are equal. */
const params = fc.oneof(
  fc.record({ name: fc.constantFrom('a', 'b'), arguments: fc.dictionary(fc.constantFrom('x', 'y'), fc.nat(2)) }),
  fc.record({ name: fc.constant('deep'), arguments: fc.record({ list: fc.array(fc.jsonValue(), { maxLength: 3 }) }) })
)

function requests(era: Script['era']): fc.Arbitrary<ScriptedRequest> {
  const legacy = era === 'legacy'
  const asked = fc.record({
    method: fc.constantFrom('tools/call', 'tools/call', 'prompts/get', 'vendor/thing'),
    params,
    happens: fc.array(legacy ? fc.oneof({ weight: 3, arbitrary: saying }, asking) : saying, { maxLength: 4 }),
    text: word,
    after: legacy ? fc.array(lists, { maxLength: 1 }) : fc.constant<string[]>([])
  })
  const ended = asked.chain(one =>
    fc
      .constantFrom('result' as const, 'result' as const, 'isError' as const, 'error' as const)
      .map(ends => ({ ...one, ends }))
  )
  // A client that leaves in the middle of a question would leave the server's next word to chance.
  const left = asked.map(one => ({
    ...one,
    ends: 'cancelled' as const,
    after: [],
    happens: one.happens.filter(({ kind }) => kind === 'progress')
  }))
  return fc.oneof({ weight: 6, arbitrary: ended }, { weight: 1, arbitrary: left })
}

function scripts(most: number): fc.Arbitrary<Script> {
  const era = fc.constantFrom('legacy' as const, 'legacy' as const, 'modern' as const)
  return era.chain(era =>
    fc.record({
      era: fc.constant(era),
      rounds: fc.array(fc.array(requests(era), { minLength: 1, maxLength: most }), { minLength: 1, maxLength: 5 })
    })
  )
}

/** Records the script, replays it, and says what was different. */
async function differing(script: Script, tape: string, same: (told: Told) => unknown): Promise<object | undefined> {
  const server = await startScripted(script)
  let recorded: Told
  try {
    ;({ told: recorded } = await play(script, { target: { url: server.url }, record: { path: tape } }))
  } finally {
    await server.close()
  }
  const target = { tape, onDivergence: 'error' as const, repeat: 'error' as const }
  const { told, door } = await play(script, { target }, recorded.all.length)
  const { misses, divergences, unused, details } = door.replay!
  const [before, after] = [JSON.stringify(same(recorded)), JSON.stringify(same(told))]
  if (misses + divergences + unused === 0 && before === after) return undefined
  return { misses, divergences, unused, details, before, after }
}

for (const { title, most, same } of [
  { title: 'one after the other', most: 1, same: (told: Told) => told },
  {
    title: 'several at once',
    most: 4,
    same: ({ requests, all }: Told) => [requests, all.map(one => JSON.stringify(one)).sort()]
  }
])
  t.test(`the recording's own client is told the same again: ${title}`, { timeout: 60_000 }, async t => {
    trackLeaks(t)
    const folder = t.testdir()
    let n = 0
    const property = fc.asyncProperty(scripts(most), async script => {
      const difference = await differing(script, path.join(folder, `${++n}.tape.jsonl`), same)
      if (difference) throw new Error(JSON.stringify(difference))
    })
    const settings = { seed: SEED, numRuns: 150, skipAllAfterTimeLimit: LIMIT / 2, endOnFailure: false }
    const found = await fc.check(property, settings)
    t.comment(`${n} scripts, REPLAY_SEED=${SEED}`)
    const shown = found.counterexample ? `${JSON.stringify(found.counterexample)}: ${found.errorInstance}` : undefined
    t.equal(shown && plain(shown), undefined, `REPLAY_SEED=${SEED}`)
    t.ok(n > 0)
  })

/** Letters that a terminal or the test's own output could stumble over. */
function plain(text: string): string {
  return text.replace(/[^ -~]/g, c => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
