/** Whether the gate notices what is wrong: each mutant must lose checks, and the relay without a mutation none. */
import { join } from 'node:path'
import { REVISIONS, type Revision } from '../compare.ts'
import { compareMeasured, type GateOptions, type Measured, measure, Pool, settleAll } from '../gate.ts'
import { sentence } from '../report.ts'
import { direct, mutant } from '../targets.ts'
import { HONEST, MUTATIONS, type Mutation } from './mutations.ts'

/** What waits in vain has noticed; all else takes less. */
const TIMEOUT_MS = 5_000

export async function runMutants(atATime: number, options: GateOptions): Promise<boolean> {
  const pool = new Pool(atATime)
  const quick = { ...options, timeoutMs: TIMEOUT_MS }
  const all = [...HONEST, ...MUTATIONS]
  const bases = new Map<Revision, Promise<Measured>>()
  for (const revision of REVISIONS) {
    if (all.some(m => m.revision === revision))
      bases.set(
        revision,
        pool.run(() => measure(direct, revision, { ...quick, keep: undefined }))
      )
  }
  const judged = all.map(async mutation => {
    const base = await bases.get(mutation.revision)!
    const keep = options.keep && join(options.keep, mutation.name)
    const through = await pool.run(() => measure(mutant(mutation), mutation.revision, { ...quick, keep }))
    return judge(mutation, base, through)
  })
  const good = await settleAll(judged)
  const wrong = good.filter(ok => !ok).length
  console.log(
    wrong > 0 ? `${wrong} of ${good.length} relays were not judged as they are` : `all ${good.length} as they are`
  )
  return wrong === 0
}

function judge(mutation: Mutation, base: Measured, through: Measured): boolean {
  const { lost } = compareMeasured(base, through, mutation.revision, mutation.name)
  const good = HONEST.includes(mutation) ? lost.length === 0 : lost.length > 0
  // What was not even reached says less than what went wrong.
  const telling = lost.find(loss => loss.through !== 'absent') ?? lost[0]
  const verdict = telling ? `${lost.length} lost, such as ${sentence(telling)}` : 'nothing lost'
  console.log(`${good ? '✓' : '✗'} ${mutation.name} (${mutation.revision}; wrong: ${mutation.wrong}): ${verdict}`)
  return good
}
