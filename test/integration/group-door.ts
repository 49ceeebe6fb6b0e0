/** A door in front of one target or several, put together as a proxy does it, with the options of openTarget. */
import type { Test } from 'tap'
import { SILENT } from '../../src/log.ts'
import { Core, type Target } from '../../src/proxy/core.ts'
import { Pipeline } from '../../src/proxy/interceptor.ts'
import { interceptorList } from '../../src/proxy/interceptors.ts'
import { type SettingName, settings } from '../../src/proxy/options.ts'
import type { HealthOptions } from '../../src/proxy/reverse-options.ts'
import { endpoint } from '../../src/proxy/serve-http.ts'
import { ssePaths } from '../../src/proxy/serve-sse.ts'
import { type HealthChange, type OpenTarget, openTarget, type WeightedUrl } from '../../src/proxy/target.ts'
import { SessionManager } from '../../src/session/manager.ts'
import { MemorySessionStore } from '../../src/session/memory-store.ts'
import { recordedLeg } from '../../src/session/recorded-leg.ts'
import { FrameBus } from '../../src/tape/bus.ts'
import { HttpServer } from '../../src/transport/downstream/http-server.ts'
import type { RetryReason } from '../../src/transport/upstream.ts'
import { type RawResponse, rawPost } from '../helpers/raw-client.ts'
import { type Id, modern, modernHeaders, toolCall } from '../helpers/rpc.ts'
import { Inbox } from '../helpers/wait.ts'

export interface GroupDoorOptions {
  readonly health?: HealthOptions
  readonly balance?: OpenTarget['balance']
  readonly settings?: Partial<Record<SettingName, number>>
}

export interface GroupDoor {
  readonly url: string
  readonly core: Core
  readonly target: Target
  readonly health: Inbox<HealthChange>
  /** Why a server was asked once more, each time. */
  readonly again: Inbox<RetryReason>
  /** A modern call. */
  call(id: Id, name?: string, args?: Record<string, unknown>): Promise<RawResponse>
}

export async function groupDoor(
  t: Test,
  urls: readonly (string | WeightedUrl)[],
  options: GroupDoorOptions = {}
): Promise<GroupDoor> {
  const chosen = settings(options.settings)
  const health = new Inbox<HealthChange>('changes of health')
  const again = new Inbox<RetryReason>('retries')
  const target = await openTarget(
    urls.map(url => (typeof url === 'string' ? { url } : url)),
    chosen,
    { health: options.health ?? {}, balance: options.balance, onHealth: change => health.push(change) }
  )
  const core = makeCore(target, chosen, reason => again.push(reason))
  const handler = endpoint(core, { path: '/mcp', sse: ssePaths('/mcp'), via: undefined })
  const server = new HttpServer({ ...chosen, host: '127.0.0.1', port: 0 }, handler)
  const { port } = await server.listen()
  t.teardown(async () => {
    core.draining = true
    server.stopAccepting()
    core.cancelAll('shutdown')
    await core.sessions.close()
    await server.close()
    await target.close()
    core.deadlines.close()
  })
  const url = `http://127.0.0.1:${port}/mcp`
  const call = (id: Id, name = 'echo', args: Record<string, unknown> = {}): Promise<RawResponse> => {
    const message = modern(toolCall(id, name, args))
    return rawPost(url, message, modernHeaders(message))
  }
  return { url, core, target, health, again, call }
}

function makeCore(target: Target, chosen: ReturnType<typeof settings>, again: (reason: RetryReason) => void): Core {
  const pipeline = new Pipeline(
    interceptorList({
      settings: chosen,
      host: '127.0.0.1',
      allowHosts: [],
      allowOrigins: [],
      tokens: [],
      interceptors: []
    })
  )
  const sessions = new SessionManager({
    store: new MemorySessionStore({ maxSessions: 1_000, idleTtl: 60_000, maxTtl: 60_000 }),
    target: target.name,
    log: SILENT,
    reapEvery: 10_000,
    openLeg: record => {
      const leg = recordedLeg(record, target.name)
      return leg?.upstreamId === undefined ? undefined : target.resume(leg.upstreamId, leg.member)
    }
  })
  const nothing = { head() {}, data() {}, message() {}, end() {}, cancel() {}, otherTransport() {} }
  const meter = { call: () => nothing, refused() {}, again, reinitialized() {} }
  return new Core({ settings: chosen, log: SILENT, bus: new FrameBus(() => {}), target, sessions, pipeline, meter })
}
