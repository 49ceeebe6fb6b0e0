import { modern, oneConnection, result8m, result64k, sessions, small } from './calls.ts'
import { drain } from './drain.ts'
import { hanging, http2 } from './fronts.ts'
import { growthRequests, growthResults, growthSessions } from './growth.ts'
import { idle } from './idle.ts'
import { largest, slowReader } from './large.ts'
import { fixedRates, halfLoad } from './rates.ts'
import type { Scenario } from './scenario.ts'
import { store, storeSize, takeover } from './shared.ts'
import { startUp } from './start-up.ts'
import { stdio, stdioModern, stdioOneConnection } from './stdio.ts'
import { events, firstEvent } from './streams.ts'
import { tapeShow } from './tape-show.ts'
import { interceptors, metrics, recording, replay, routes } from './variants.ts'

/** In the order in which they run, and in which they are told of. */
export const SCENARIOS: readonly Scenario[] = [
  small,
  oneConnection,
  fixedRates,
  halfLoad,
  modern,
  sessions,
  result64k,
  result8m,
  events,
  firstEvent,
  stdio,
  stdioOneConnection,
  stdioModern,
  recording,
  replay,
  tapeShow,
  metrics,
  interceptors,
  routes,
  store,
  storeSize,
  takeover,
  http2,
  hanging,
  drain,
  idle,
  largest,
  slowReader,
  startUp,
  growthSessions,
  growthResults,
  growthRequests
]
