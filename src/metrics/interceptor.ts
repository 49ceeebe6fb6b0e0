import type { Exchange } from '../proxy/exchange.ts'
import type { Interceptor, Outcome } from '../proxy/interceptor.ts'
import type { CallWatch } from './call-probe.ts'
import { CLIENT_GONE, type Failure, failureOf, statusFailure } from './failure.ts'
import type { Numbers } from './numbers.ts'

/** Counts what clients asked, when it has ended. It holds nothing meanwhile. */
export function metrics(numbers: Numbers): Interceptor {
  return {
    name: 'metrics',
    end(x: Exchange, outcome: Outcome): void {
      numbers.ended(x, outcome)
      const watch = x.probe as CallWatch | undefined
      const ended = { failure: failureIn(watch, outcome), seconds: outcome.duration / 1000 }
      numbers.operation(x, numbers.server, ended, watch?.operation)
    }
  }
}

function failureIn(watch: CallWatch | undefined, { result, code, status }: Outcome): Failure | undefined {
  if (result === 'gone') return CLIENT_GONE
  if (code !== undefined) return failureOf(code)
  // What an interceptor answers is an error where its status says so.
  return result === 'answered' ? watch?.failure : statusFailure(status)
}
