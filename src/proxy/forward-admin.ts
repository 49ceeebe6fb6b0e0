import { Audit } from '../admin/audit.ts'
import { ProxyView } from '../admin/proxy-view.ts'
import type { Metrics } from '../metrics/metrics.ts'
import type { StoreFailure } from '../session/shared.ts'
import type { HttpServer } from '../transport/downstream/http-server.ts'
import type { Cluster } from './cluster.ts'
import { Drain } from './drain.ts'
import type { AdminOptions } from './reverse-options.ts'
import { type Admin, openAdmin } from './reverse-parts.ts'
import type { Route } from './route.ts'

/** What operators have of a running forward proxy. */
export interface ForwardOperators {
  readonly view: ProxyView
  readonly admin: Admin
}

interface Running {
  readonly route: Route
  readonly server: HttpServer
  readonly metrics: Metrics | undefined
  readonly cluster: Cluster | undefined
  readonly storeFailure: StoreFailure | undefined
  readonly path: string
  readonly url: string
}

/** What the one route is called where routes have names. */
const NAME = 'forward'

/** Rejects with the system's error when it cannot listen. */
export async function openForwardAdmin(options: AdminOptions, running: Running): Promise<ForwardOperators> {
  const { route, server, metrics, cluster, storeFailure, path, url } = running
  const { core, recorder } = route
  const { log } = core
  const audit = new Audit(log)
  const view = new ProxyView({
    routes: () => [{ core, facts: { name: NAME, path, recorder } }],
    listeners: () => [{ url, protocols: ['http/1.1'], connections: server.connections }],
    drain: ({ timeout = core.settings.drainTimeout, grace }) =>
      new Drain({
        ...{ cores: () => route.cores, listeners: [server], timeout, grace, log },
        onBegin: progress => audit.drainBegan(progress),
        onEnd: progress => audit.drainEnded(progress)
      }),
    ...(cluster && { shared: () => cluster.shared, storeFailure, peersAt: () => cluster.address }),
    ...(metrics && { metricsText: () => metrics.text() })
  })
  const admin = await openAdmin(options, view, audit)
  view.ready()
  return { view, admin }
}
