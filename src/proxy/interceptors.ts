import { admission } from '../interceptors/admission.ts'
import { heldState } from '../interceptors/held-state.ts'
import { limits } from '../interceptors/limits.ts'
import { modernRules } from '../interceptors/modern-rules.ts'
import { sessions } from '../interceptors/sessions.ts'
import { token } from '../interceptors/token.ts'
import { isLoopback } from '../transport/loopback.ts'
import type { Interceptor } from './interceptor.ts'
import type { Settings } from './options.ts'

export interface InterceptorOptions {
  readonly settings: Settings
  /** The address listened on. */
  readonly host: string
  readonly allowHosts: readonly string[]
  readonly allowOrigins: readonly string[]
  readonly tokens: readonly string[]
  /** Keeps numbers. */
  readonly metrics?: Interceptor
  /** Are told how everything ended: the access log, the audit trail. */
  readonly observers?: readonly Interceptor[]
  /** Other processes serve the same clients, each with a server of its own. */
  readonly holds?: boolean
  /** The user's own. */
  readonly interceptors: readonly Interceptor[]
}

/**
 * The one ordered list of everything that acts on traffic. Who may come in is settled before anything is counted or looked
 * up; the user's own come last, so that they see requests as the server will, and answers before anybody else.
 */
export function interceptorList(options: InterceptorOptions): readonly Interceptor[] {
  const { settings, host, allowHosts, allowOrigins, metrics } = options
  return [
    // First, so that on the way back they see what became of everything, and the numbers before those who tell them.
    ...(options.observers ?? []),
    ...(metrics ? [metrics] : []),
    admission({ host, allowHosts, allowOrigins, loopback: isLoopback(host) }),
    ...(options.tokens.length > 0 ? [token(options.tokens)] : []),
    limits(settings),
    sessions(),
    modernRules(),
    ...(options.holds ? [heldState()] : []),
    ...options.interceptors
  ]
}
