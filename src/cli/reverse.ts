import { descriptorWriter } from '../admin/line-sink.ts'
import type { Configuration } from '../config/build.ts'
import { createLog, type Log } from '../log.ts'
import { createReverse, type Reverse } from '../proxy/reverse.ts'
import type { ReverseOptions } from '../proxy/reverse-options.ts'
import { secretsOf } from '../proxy/secrets.ts'
import { Redactor } from '../tape/redact.ts'
import { OPTIONS } from './forward-options.ts'
import { lineWriter } from './line-writer.ts'
import { onlyConfig, reverseOptionsOf } from './reverse-args.ts'
import { ConfigFile } from './reverse-config.ts'
import type { ReverseArgs } from './reverse-options.ts'
import { type Runnable, runUntilStopped } from './run.ts'

/** `catflap reverse`: its options are in reverse-options.ts. */
export async function reverse(args: ReverseArgs): Promise<void> {
  if (args.config !== undefined) return await withFile(args, args.config)
  const options = reverseOptionsOf(args)
  const redactor = new Redactor({ secrets: allSecrets(options) })
  const log = logOf(args, redactor.scrub)
  await runUntilStopped(log, async () => {
    const proxy = await createReverse({ ...options, ...accessLogOf(args['access-log']), log })
    announce(proxy, args['log-format'], options.admin?.token === undefined)
    return runnable(proxy)
  })
}

async function withFile(args: ReverseArgs, path: string): Promise<void> {
  onlyConfig(args)
  const file = new ConfigFile(path)
  const first = await file.readFirst()
  if (!first) return
  let redactor = new Redactor({ secrets: first.secrets })
  const format = chosen(args, 'log-format', first.log.format)
  const level = chosen(args, 'log-level', first.log.level)
  const log = logOf({ 'log-format': format, 'log-level': level }, text => redactor.scrub(text))
  await runUntilStopped(log, async () => {
    const proxy = await createReverse({ ...optionsOf(first), live: args.tail, log })
    const following = file.follow(log, async ({ options, secrets }: Configuration) => {
      // Both, as what the old one knew may still turn up.
      redactor = new Redactor({ secrets: [...new Set([...first.secrets, ...secrets])] })
      return await proxy.reload({ ...options, live: args.tail })
    })
    announce(proxy, format, first.options.admin?.token === undefined)
    return {
      ...runnable(proxy),
      reload: () => following.again(),
      close: async how => {
        await following.close()
        await proxy.close(how)
      }
    }
  })
}

function optionsOf({ options, metrics, accessLog }: Configuration): ReverseOptions {
  return {
    ...options,
    metrics,
    ...accessLogOf(accessLog)
  }
}

function accessLogOf(format: 'text' | 'json' | 'off'): Pick<ReverseOptions, 'accessLog'> {
  return format === 'off' ? {} : { accessLog: { format, write: descriptorWriter(STDOUT) } }
}

const STDOUT = 1

/** The command line's, where it says anything but what is so anyway; else the file's. */
function chosen<K extends 'log-level' | 'log-format'>(
  args: ReverseArgs,
  name: K,
  other: ReverseArgs[K]
): ReverseArgs[K] {
  return args[name] === OPTIONS[name].default ? other : args[name]
}

function logOf(args: Pick<ReverseArgs, 'log-level' | 'log-format'>, scrub: (text: string) => string): Log {
  const write = lineWriter(process.stderr)
  return createLog({ level: args['log-level'], format: args['log-format'], write, scrub })
}

function runnable(proxy: Reverse): Runnable {
  return { url: proxy.origins[0], close: how => proxy.close(how) }
}

function allSecrets({ routes }: ReverseOptions): string[] {
  return Object.values(routes).flatMap(({ tokens, targets }) =>
    [targets].flat().flatMap(target => secretsOf({ tokens, target }))
  )
}

/** The lines people wait for: they are printed whatever the log level. A token that was `madeUp` nobody could know otherwise. */
function announce(proxy: Reverse, format: 'text' | 'json', madeUp: boolean): void {
  const routes = proxy.routes.map(({ name, path, host, route }) => ({
    name,
    url: `${proxy.origins[0]}${path}`,
    ...(host !== undefined && { host }),
    target: route.core.target.label
  }))
  const { adminUrl, adminToken, metricsUrl } = proxy
  if (format === 'json') {
    const operators = { ...(adminUrl && { admin: adminUrl }), ...(metricsUrl && { metrics: metricsUrl }) }
    const event = { event: 'listening', listeners: proxy.origins, routes, ...operators }
    process.stderr.write(`${JSON.stringify({ ...event, ...(madeUp && { adminToken }) })}\n`)
    return
  }
  const lines = routes.map(({ name, url, target }) => `  ${name}: ${url} → ${target}\n`)
  if (adminUrl) lines.push(`  admin: ${adminUrl}${madeUp ? `, token ${adminToken}` : ''}\n`)
  if (metricsUrl) lines.push(`  metrics: ${metricsUrl}\n`)
  lineWriter(process.stdout)(`catflap: listening on ${proxy.origins.join(', ')}\n${lines.join('')}`)
}
