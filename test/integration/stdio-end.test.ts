/** Why the session of a client on stdio ends, as the log and the tape tell it. */
import { PassThrough } from 'node:stream'
import t from 'tap'
import { createForward } from '../../src/index.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { initialize } from '../helpers/rpc.ts'
import { readLines } from '../helpers/stdio-peer.ts'
import { Inbox } from '../helpers/wait.ts'
import { type PairServer, pairServer } from './pairing-servers.ts'
import { LogInbox } from './pipe-door.ts'

type End = (input: PassThrough, server: PairServer) => unknown

const ENDS: readonly (readonly [why: string, end: End | undefined])[] = [
  ['client', input => input.end()],
  ['lost', (_, server) => server.break()],
  ['shutdown', undefined]
]

for (const [why, end] of ENDS)
  t.test(`the session ends: ${why}`, async t => {
    trackLeaks(t)
    const server = await pairServer(t, 'stdio')
    const [input, output] = [new PassThrough(), new PassThrough()]
    const lines = new Inbox<string>('lines')
    readLines(output, lines)
    const log = new LogInbox('lines of the log')
    const door = await createForward({ target: server.target, listen: { input, output }, log })
    t.teardown(() => door.close({ drainTimeout: 0 }))
    input.write(`${JSON.stringify(initialize(0))}\n`)
    await lines.next()
    await end?.(input, server)
    if (end) await door.ended
    await door.close()
    t.match(log.of('session-end'), [{ facts: { why } }])
  })
