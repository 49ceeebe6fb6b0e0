/**
 * catflap from a program of one's own, with interceptors that do nothing.
 *
 *   node bench/programs/library.ts LIBRARY PORT COUNT none|passing|reading TARGET
 *
 * `passing` interceptors have every hook that sees an exchange pass; `reading` ones want its messages too, which have
 * to be taken out of the streams for them.
 */
import { pathToFileURL } from 'node:url'
import type * as Catflap from '../../src/index.ts'

const [library, port, count, hooks, target] = process.argv.slice(2)
const { createForward } = (await import(pathToFileURL(library!).href)) as typeof Catflap

function interceptor(i: number): Catflap.Interceptor {
  const passing: Catflap.Interceptor = {
    name: `nothing-${i}`,
    admit: () => undefined,
    request: () => undefined,
    head: () => {},
    end: () => {}
  }
  return hooks === 'reading' ? { ...passing, message: (_place, message) => message } : passing
}

const proxy = await createForward({
  target: JSON.parse(target!) as Catflap.TargetOptions,
  listen: { port: Number(port) },
  interceptors: Array.from({ length: Number(count) }, (_, i) => interceptor(i))
})
process.once('SIGTERM', () => void proxy.close({ drainTimeout: 0 }).then(() => process.exit(0)))
