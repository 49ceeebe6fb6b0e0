/** Tapes of real clients with real servers, and servers to check against them. */
import type { Test } from 'tap'
import type { TargetOptions } from '../../src/index.ts'
import { readRecording } from '../../src/replay/recording.ts'
import type { VerifyOptions } from '../../src/verify/options.ts'
import type { VerifyReport } from '../../src/verify/report.ts'
import { verify } from '../../src/verify/verify.ts'
import { FIXTURE_RESOURCE } from '../fixtures/servers/definition.ts'
import { startHttpServer } from '../fixtures/servers/http-server.ts'
import { startSseServer } from '../fixtures/servers/sse-server.ts'
import type { TestClient } from '../helpers/clients.ts'
import { callTool, command, type ServerEra, type Wire } from '../replay/replay-stage.ts'

/** A fresh server, which has seen nothing yet. */
export async function freshServer(t: Test, wire: Wire, era: ServerEra = 'legacy'): Promise<TargetOptions> {
  if (wire === 'stdio') {
    const [program, ...args] = command(era)
    return { command: program!, args }
  }
  const server =
    wire === 'sse' ? await startSseServer() : await startHttpServer({ mode: era === 'legacy' ? 'stateful' : era })
  t.teardown(() => server.close())
  return { url: server.url }
}

/** Reads the tape and checks the server with it. */
export async function check(
  file: string | readonly string[],
  target: TargetOptions,
  options: Partial<VerifyOptions> = {}
): Promise<VerifyReport> {
  const recording = await readRecording([file].flat())
  try {
    return await verify(recording, { target, allowWrites: true, timeout: 10_000, ...options })
  } finally {
    recording.close()
  }
}

/** Every difference, with the request that it was found at. */
export function found(report: VerifyReport): string[] {
  return report.sessions.flatMap(session => [
    ...session.requests.flatMap(r => r.differences.map(d => `${r.method} ${r.name ?? ''}: ${d.text}`)),
    ...session.requests.filter(r => r.reason).map(r => `${r.method} ${r.name ?? ''}: ${r.status}: ${r.reason}`),
    ...session.differences.map(d => d.text)
  ])
}

/** What a client of the legacy era does. */
export async function legacyScript(c: TestClient): Promise<void> {
  await c.client.listTools()
  await c.client.listPrompts()
  await c.client.listResources()
  await c.client.readResource({ uri: 'fixture://item/10' })
  await callTool(c, 'fail')
  await callTool(c, 'count')
  await callTool(c, 'count')
  await c.client.callTool({ name: 'throw', arguments: { code: -31_234, message: 'no' } }).catch(String)
  await c.client.callTool({ name: 'progress', arguments: { n: 3 } }, { onprogress() {} })
  for (const via of ['call', 'session']) {
    await callTool(c, 'sample', { via })
    await callTool(c, 'elicit', { via })
    await callTool(c, 'roots', { via })
  }
  await c.client.subscribeResource({ uri: FIXTURE_RESOURCE })
  await callTool(c, 'touch', { uri: FIXTURE_RESOURCE })
  await c.until('notifications/resources/updated')
  await callTool(c, 'change', { what: 'tools' })
  await c.until('notifications/tools/list_changed')
  await c.client.setLoggingLevel('warning')
  await callTool(c, 'log', { level: 'error' })
  await c.until('notifications/message')
  await Promise.all([1, 2, 3].map(n => callTool(c, 'echo', { n })))
  await cancelled(c)
}

/** A call that its client cancels once it is under way. */
export async function cancelled(c: TestClient): Promise<void> {
  const abort = new AbortController()
  const slow = c.client.callTool({ name: 'slow', arguments: { key: 'k' } }, { signal: abort.signal }).catch(String)
  await callTool(c, 'until', { name: 'slow.started' })
  abort.abort()
  await slow
  await callTool(c, 'until', { name: 'slow.cancelled' })
}
