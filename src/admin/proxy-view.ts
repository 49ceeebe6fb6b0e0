import type { Core } from '../proxy/core.ts'
import type { Drain, DrainProgress } from '../proxy/drain.ts'
import type { Shared, StoreFailure } from '../session/shared.ts'
import { VERSION } from '../version.ts'
import { endSessions, type RouteFacts, routeView, sessionViews } from './core-view.ts'
import { storeView } from './store-view.ts'
import type {
  AdminState,
  AdminSubject,
  DrainRequest,
  ListenerView,
  RouteView,
  SessionView,
  StoreView
} from './subject.ts'

export interface ServedRoute {
  readonly core: Core
  readonly facts: RouteFacts
}

export interface ProxyViewParts {
  /** Retiring ones among them; asked each time. */
  readonly routes: () => Iterable<ServedRoute>
  readonly listeners: () => readonly ListenerView[]
  /** Makes the one drain there will be. */
  readonly drain: (request: DrainRequest) => Drain
  readonly metricsText?: () => Iterable<string>
  /** Where other processes serve the same sessions. */
  readonly shared?: () => Shared | undefined
  /** What becomes of sessions while the store does not do its work. Default `fail`. */
  readonly storeFailure?: StoreFailure
  /** `HOST:PORT` where other instances reach this one. */
  readonly peersAt?: () => string | undefined
}

/** A running proxy as its operators see it. */
export class ProxyView implements AdminSubject {
  readonly version = VERSION
  readonly startedAt = Date.now()
  readonly metricsText: (() => Iterable<string>) | undefined
  readonly #parts: ProxyViewParts
  #ready = false
  #drain: Drain | undefined

  constructor(parts: ProxyViewParts) {
    this.#parts = parts
    this.metricsText = parts.metricsText
  }

  get state(): AdminState {
    if (this.#drain) return 'draining'
    return this.#ready ? 'ready' : 'starting'
  }

  /** All is open: clients may come. */
  ready(): void {
    this.#ready = true
  }

  listeners(): readonly ListenerView[] {
    return this.#parts.listeners()
  }

  routes(): readonly RouteView[] {
    return [...this.#parts.routes()].map(({ core, facts }) => routeView(core, facts))
  }

  store(): StoreView | undefined {
    const { shared, storeFailure = 'fail', peersAt } = this.#parts
    const store = shared?.()
    return store && storeView(store, storeFailure, peersAt?.())
  }

  *sessions(): Generator<SessionView> {
    for (const { core, facts } of this.#parts.routes()) yield* sessionViews(core, facts.name)
  }

  async endSession(handle: string): Promise<boolean> {
    return endSessions(
      [...this.#parts.routes()].map(({ core }) => core),
      handle
    )
  }

  async drain(request: DrainRequest): Promise<void> {
    await this.startDrain(request).run()
  }

  /** The drain that goes on, or a new one that has begun. */
  startDrain(request: DrainRequest): Drain {
    if (!this.#drain) {
      this.#drain = this.#parts.drain(request)
      void this.#drain.run()
    }
    return this.#drain
  }

  get drainProgress(): DrainProgress | undefined {
    return this.#drain?.progress
  }
}
