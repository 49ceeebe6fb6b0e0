/** What a child says of its revisions is repeated to clients: whatever it says, that stays short. */
import t from 'tap'
import { probe } from '../../src/transport/upstream/shared-child-probe.ts'
import { StdioLeg } from '../../src/transport/upstream/stdio.ts'
import { trackLeaks } from '../helpers/leaks.ts'

const MANY = "Array.from({ length: 5_000 }, (_, i) => '2026-07-' + i)"

for (const [what, rest] of [
  ['result', `result: { supportedVersions: ${MANY} }`],
  ['error', `error: { code: -32022, message: 'no', data: { supported: ${MANY} } }`]
] as const)
  t.test(`a list without end in its ${what} is cut`, async t => {
    trackLeaks(t)
    const answer = `JSON.stringify({ jsonrpc: '2.0', id: JSON.parse(line).id, ${rest} })`
    const leg = new StdioLeg(
      {
        label: 'peer',
        command: process.execPath,
        args: ['-e', `process.stdin.once('data', line => console.log(${answer})).once('end', () => process.exit())`],
        maxLine: 1_000_000,
        maxInput: 1_000_000,
        killGrace: { stdin: 500, term: 500 }
      },
      { message() {}, late() {}, noise() {}, stderr() {}, lost() {} }
    )
    t.teardown(() => leg.close())
    const verdict = await probe(leg, 'peer', 10_000, undefined)
    t.match(verdict, { era: 'modern' })
    t.equal('versions' in verdict ? verdict.versions?.length : undefined, 32)
  })
