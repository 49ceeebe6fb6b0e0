import type { Audit } from '../admin/audit.ts'
import { AT_THE_DOOR, auditRefusals } from '../admin/audit.ts'
import { type AccessLogFacts, accessLog, type Lines, pageLine } from '../interceptors/access-log.ts'
import { bareHost } from '../interceptors/admission.ts'
import { routeHeaders } from '../interceptors/route-headers.ts'
import { principalOfToken } from '../interceptors/token.ts'
import type { Log } from '../log.ts'
import type { RoutesMetrics } from '../metrics/routes-metrics.ts'
import { Redactor } from '../tape/redact.ts'
import type { RequestHandler } from '../transport/downstream/http-server.ts'
import type { ChildLimits } from './child-limits.ts'
import { closeAll } from './closing.ts'
import type { Cluster } from './cluster.ts'
import type { Forwarding } from './forwarded.ts'
import { type DoorRules, Gate } from './gate.ts'
import type { LentStores } from './lent-stores.ts'
import { settings } from './options.ts'
import type { PageFacts, Pages } from './pages.ts'
import type { CommandRoute, RouteOptions } from './reverse-options.ts'
import { CLOSE_PATIENCE, openRoute, type Route, type RouteSetup } from './route.ts'
import { secretsOf } from './secrets.ts'
import { endpoint } from './serve-http.ts'
import { routeSsePaths, type SsePaths } from './serve-sse.ts'
import type { HealthChange, WeightedUrl } from './target.ts'

/** A route, and where it is served. */
export interface Place {
  readonly name: string
  readonly path: string
  readonly sse: SsePaths
  /** Only requests for this host; undefined: all that no other route has a host for. In lower case. */
  readonly host: string | undefined
  readonly generation: number
  /** Of those who have a token; undefined: nobody needs one. */
  readonly principals: ReadonlySet<string> | undefined
  readonly gate: Gate
  readonly route: Route
  readonly handler: RequestHandler
  /** What is not MCP, where that is passed. */
  readonly pages: Pages | undefined
  /** Its numbers are no longer read. */
  readonly unwatch: (() => void) | undefined
}

/** What all routes of a proxy have in common. */
export interface Common {
  readonly log: Log
  readonly audit: Audit
  /** The address listened on that can be reached from farthest away. */
  readonly host: string
  /** All addresses listened on. */
  readonly hosts: readonly string[]
  readonly via: string | undefined
  readonly forwarding: Forwarding
  readonly metrics: RoutesMetrics | undefined
  readonly accessLog: (Omit<AccessLogFacts, 'route'> & { readonly lines: Lines }) | undefined
  /** Offer the traffic to `catflap tail` of the same user. */
  readonly live: boolean | undefined
  /** To be kept off tapes and out of texts. */
  readonly secrets: readonly string[]
  /** How many routes there are. */
  readonly among: number
  readonly rules: DoorRules
  readonly stores: LentStores
  readonly children: ChildLimits
  /** Other processes serve the same sessions. */
  readonly cluster: Cluster | undefined
}

/** Opens a route as the options say. Rejects with what is wrong, and then nothing is left open. */
export async function openPlace(name: string, given: RouteOptions, generation: number, common: Common): Promise<Place> {
  const { via, forwarding, hosts, host, audit } = common
  const path = given.path ?? `/${name}/mcp`
  const metrics = common.metrics?.route({
    name,
    wires: { down: 'http', up: Array.isArray(given.targets) ? 'http' : 'pipe' },
    among: common.among
  })
  const { tokens = [] } = given
  const gate = new Gate(common.rules, tokens.length > 0)
  const allowHosts = [...(given.allowHosts ?? []), ...hosts, ...(given.host === undefined ? [] : [given.host])]
  const redactor = new Redactor({
    redactHeaders: given.redactHeaders,
    redactJson: given.redactJson,
    secrets: [...secrets(given), ...common.secrets]
  })
  const log = common.accessLog && { scrub: redactor.scrub, ...common.accessLog, route: name }
  const route = await openRoute({
    ...given,
    ...{ host, via, allowHosts, metrics, log: common.log, live: common.live },
    ...targetOf(name, given, common.children),
    settings: settings(given.settings),
    redactor,
    interceptors: [
      gate.interceptor,
      ...(given.headers ? [routeHeaders(given.headers)] : []),
      ...(given.interceptors ?? [])
    ],
    health: given.health ?? {},
    observers: [...(log ? [accessLog(log.lines, log)] : []), auditRefusals(audit, name)],
    watch: {
      made: session => audit.sessionMade(session, name),
      ended: (session, why) => audit.sessionEnded(session, name, why)
    },
    onHealth: change => {
      audit.targetChanged(name, stateOf(change))
      if (change.state === 'ejected') metrics?.ejected(change.member)
    },
    cluster: common.cluster && { of: common.cluster, name },
    // Last: what fails before would not give it back.
    store: given.store && common.stores.lend(given.store, generation === 1)
  })
  try {
    const pages = await openPages(given, path, route, { ...common, name, allowHosts, gate, access: log })
    const sse = routeSsePaths(path)
    return {
      ...{
        name,
        path,
        sse,
        generation,
        gate,
        route,
        pages,
        host: given.host === undefined ? undefined : bareHost(given.host)
      },
      principals: tokens.length > 0 ? new Set(tokens.map(principalOfToken)) : undefined,
      handler: endpoint(route.core, { path, sse, via, forwarding }),
      unwatch: metrics?.watch({ core: route.core, recorder: route.recorder })
    }
  } catch (error) {
    await closeRoute(route)
    throw error
  }
}

/** Whoever was in it has been told: ends sessions, children and tapes. */
export async function closePlace({ route, pages, unwatch }: Place): Promise<void> {
  await pages?.passthrough.close()
  await closeRoute(route)
  unwatch?.()
}

async function closeRoute(route: Route): Promise<void> {
  const { core } = route
  const patience = CLOSE_PATIENCE + 3 * core.settings.killAfter
  await closeAll([['the sessions', () => core.sessions.close()], ...route.closing], patience, core.log)
  await route.endTape()
}

async function openPages(
  given: RouteOptions,
  path: string,
  route: Route,
  common: Common & PageLog & { readonly allowHosts: readonly string[]; readonly gate: Gate }
): Promise<Pages | undefined> {
  const { via, forwarding, host, allowHosts, gate } = common
  const { passthrough: paths = [], targets, tokens = [], allowOrigins = [], headers: rules } = given
  if (paths.length === 0 || !Array.isArray(targets)) return undefined
  const { Passthrough } = await import('./passthrough.ts')
  const { Pages } = await import('./pages.ts')
  const { core } = route
  const passthrough = new Passthrough({
    ...{ route: path, paths, via, tokens, rules, choice: core.target.pages },
    targets: targets.map(({ url, headers, ca, insecure }, i) => ({
      ...{ url: new URL(url), headers, ca, insecure },
      label: core.target.health?.()[i]?.label ?? core.target.label
    })),
    forwarded: forwarding,
    settings: core.settings
  })
  const refused = (error: { readonly code: Parameters<NonNullable<typeof core.meter>['refused']>[0] }): void =>
    core.meter?.refused(error.code)
  return new Pages(passthrough, {
    ...{ host, allowHosts, allowOrigins, tokens, gate, refused },
    draining: () => core.draining,
    observe: page => tellOfPage(page, common)
  })
}

interface PageLog {
  readonly name: string
  readonly audit: Audit
  readonly access: (AccessLogFacts & { readonly lines: Lines }) | undefined
}

/** A page is no exchange: what becomes of it is told here. */
function tellOfPage(page: PageFacts, { name, audit, access }: PageLog): void {
  if (page.code !== undefined && AT_THE_DOOR.has(page.code))
    audit.sessionRefused({ principal: 'anonymous', client: { remoteAddress: page.client } }, name, page.code)
  if (access?.lines.ready) access.lines.add(pageLine(page, access))
  else access?.lines.miss()
}

/** A command on a route gets a short environment; in `forward` it gets all of ours. */
function targetOf(
  name: string,
  { targets }: RouteOptions,
  children: ChildLimits
): Pick<RouteSetup, 'target' | 'childLimit'> {
  if (Array.isArray(targets)) return { target: targets as readonly WeightedUrl[] }
  if ('tape' in targets) return { target: targets }
  const command: CommandRoute = { inheritEnv: [], ...(targets as CommandRoute) }
  return { target: command, childLimit: children.of(name, command) }
}

function secrets({ tokens, targets }: RouteOptions): string[] {
  return [targets].flat().flatMap(target => secretsOf({ tokens, target }))
}

function stateOf({ member, label, state, reason, ms }: HealthChange): Parameters<Audit['targetChanged']>[1] {
  const until = state === 'ejected' && ms !== undefined ? Date.now() + ms : undefined
  return {
    member,
    label,
    state,
    inFlight: 0,
    ...(reason !== undefined && { reason }),
    ...(until !== undefined && { until })
  }
}
