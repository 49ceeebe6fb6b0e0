/** What clients of the SDKs make of progress: they look for whoever wanted it a moment after it has come. */
import { Client as OlderClient } from '@modelcontextprotocol/sdk/client/index.js'
import { SSEClientTransport as OlderSse } from '@modelcontextprotocol/sdk/client/sse.js'
import { StdioClientTransport as OlderStdio } from '@modelcontextprotocol/sdk/client/stdio.js'
import { StreamableHTTPClientTransport as OlderHttp } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import t, { type Test } from 'tap'
import { handshake } from './hand-stage.ts'
import { down, notice, request, result, tapeOf, up } from './recording-door.ts'
import { ENTRY, replayClient, replayDoor, type Wire } from './replay-stage.ts'

const CALLS = 10
const STEPS = 4

function progressTape(t: Test): string {
  const params = { name: 'long', arguments: {}, _meta: { progressToken: 7 } }
  const frames = [
    ...handshake({}, 'stdio'),
    up('stdio', request(1, 'tools/call', params)),
    ...Array.from({ length: STEPS }, (_, i) =>
      down('stdio', notice('notifications/progress', { progressToken: 7, progress: i + 1, total: STEPS }))
    ),
    down('stdio', result(1, { content: [] }))
  ]
  return tapeOf(
    t,
    frames.map(frame => ({ session: 's1', ...frame }))
  )
}

type Call = (onprogress: () => void) => Promise<unknown>

/** How much of it each call was told. */
async function progressOf(call: Call): Promise<number> {
  let told = 0
  for (let n = 0; n < CALLS; n++) await call(() => void told++)
  return told
}

async function olderCall(t: Test, wire: Wire, file: string): Promise<Call> {
  const client = new OlderClient({ name: 'older', version: '1' })
  await client.connect(await olderTransport(t, wire, file))
  t.teardown(() => client.close())
  return onprogress => client.callTool({ name: 'long', arguments: {} }, undefined, { onprogress })
}

async function olderTransport(t: Test, wire: Wire, file: string): Promise<Transport> {
  if (wire === 'stdio') {
    const args = ['--no-warnings', ENTRY, 'replay', '--stdio', '--no-tail', file]
    return new OlderStdio({ command: process.execPath, args, stderr: 'ignore' })
  }
  const { url } = await replayDoor(t, file)
  const to = new URL(wire === 'sse' ? '/sse' : url!, url)
  // Its types are older than these rules for optional members.
  return (wire === 'sse' ? new OlderSse(to) : new OlderHttp(to)) as Transport
}

async function newerCall(t: Test, wire: Wire, file: string): Promise<Call> {
  const { c } = await replayClient(t, wire, wire === 'stdio' ? file : await replayDoor(t, file))
  return onprogress => c.client.callTool({ name: 'long', arguments: {} }, { onprogress })
}

for (const [sdk, callOf] of [
  ['1.x', olderCall],
  ['2', newerCall]
] as const)
  for (const wire of ['stdio', 'sse', 'http'] as const)
    t.test(`SDK ${sdk} on ${wire}: handlers of progress are told of it before the answer`, async t => {
      const told = await progressOf(await callOf(t, wire, progressTape(t)))
      // A client that gets no time to read for some ms finds both together, and loses what it loses of a server.
      t.ok(told > 0.7 * CALLS * STEPS, `${told} of ${CALLS * STEPS}`)
    })
