import { createLog, type Log } from '../log.ts'
import { createReverse, type Reverse } from '../proxy/reverse.ts'
import type { ReverseOptions } from '../proxy/reverse-options.ts'
import { secretsOf } from '../proxy/secrets.ts'
import { Redactor } from '../tape/redact.ts'
import { lineWriter } from './line-writer.ts'
import { reverseOptionsOf } from './reverse-args.ts'
import type { ReverseArgs } from './reverse-options.ts'
import { type Runnable, runUntilStopped } from './run.ts'

/** `catflap reverse`: its options are in reverse-options.ts. */
export async function reverse(args: ReverseArgs): Promise<void> {
  const options = reverseOptionsOf(args)
  const redactor = new Redactor({ secrets: allSecrets(options) })
  const log = createLog({
    level: args['log-level'],
    format: args['log-format'],
    write: lineWriter(process.stderr),
    scrub: redactor.scrub
  })
  await runUntilStopped(log, async (): Promise<Runnable> => {
    const proxy = await createReverse({ ...options, log })
    announce(proxy, args, log)
    return { url: proxy.origins[0], close: how => proxy.close(how) }
  })
}

function allSecrets({ routes }: ReverseOptions): string[] {
  return Object.values(routes).flatMap(({ tokens, targets }) =>
    [targets].flat().flatMap(target => secretsOf({ tokens, target }))
  )
}

/** The lines people wait for: they are printed whatever the log level. */
function announce(proxy: Reverse, args: ReverseArgs, _log: Log): void {
  const routes = proxy.routes.map(({ name, path, host, route }) => ({
    name,
    url: `${proxy.origins[0]}${path}`,
    ...(host !== undefined && { host }),
    target: route.core.target.label
  }))
  if (args['log-format'] === 'json') {
    process.stderr.write(`${JSON.stringify({ event: 'listening', listeners: proxy.origins, routes })}\n`)
    return
  }
  const lines = routes.map(({ name, url, target }) => `  ${name}: ${url} → ${target}\n`)
  lineWriter(process.stdout)(`catflap: listening on ${proxy.origins.join(', ')}\n${lines.join('')}`)
}
