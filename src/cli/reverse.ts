import { isDeepStrictEqual } from 'node:util'
import { descriptorWriter } from '../admin/line-sink.ts'
import type { Configuration } from '../config/build.ts'
import { createLog, type Log } from '../log.ts'
import { createReverse, type Reverse } from '../proxy/reverse.ts'
import type { ReverseOptions } from '../proxy/reverse-options.ts'
import { secretsOf, sharedSecrets } from '../proxy/secrets.ts'
import { Redactor } from '../tape/redact.ts'
import { OPTIONS } from './forward-options.ts'
import { lineWriter } from './line-writer.ts'
import { onlyConfig, reverseOptionsOf } from './reverse-args.ts'
import { ConfigFile } from './reverse-config.ts'
import type { ReverseArgs } from './reverse-options.ts'
import { type Runnable, runUntilStopped } from './run.ts'
import { warnOfStore } from './store-args.ts'

/** `catflap reverse`: its options are in reverse-options.ts. */
export async function reverse(args: ReverseArgs): Promise<void> {
  if (args.config !== undefined) return await withFile(args, args.config)
  const options = reverseOptionsOf(args)
  const redactor = new Redactor({ secrets: allSecrets(options) })
  const { 'log-format': format = OPTIONS['log-format'].default, 'log-level': level = OPTIONS['log-level'].default } =
    args
  const log = logOf({ level, format }, redactor.scrub)
  if (options.sharedStore) warnOfStore(log, args)
  await runUntilStopped(log, async () => {
    const proxy = await createReverse({ ...options, ...accessLogOf(args['access-log'], redactor.scrub), log })
    announce(proxy, format, { madeUp: options.admin?.token === undefined, scrub: redactor.scrub })
    return runnable(proxy)
  })
}

async function withFile(args: ReverseArgs, path: string): Promise<void> {
  onlyConfig(args)
  // Whoever has just changed the file may say so while it is being read for the first time.
  const early = (): void => {}
  process.on('SIGHUP', early)
  const file = new ConfigFile(path)
  const first = await file.readFirst()
  if (!first) return void process.off('SIGHUP', early)
  const secrets = new Secrets(first.secrets)
  const { 'log-format': format = first.log.format, 'log-level': level = first.log.level } = args
  const log = logOf({ level, format }, secrets.scrub)
  await runUntilStopped(
    log,
    async () => {
      process.off('SIGHUP', early)
      const proxy = await createReverse({ ...optionsOf(first, secrets.scrub), live: args.tail, log })
      let now = first
      warnOfEnvironment(log, first.secrets)
      const following = file.follow(log, async (next: Configuration) => {
        // Before: what is refused may be told with what it says.
        secrets.add(next.secrets)
        const done = await proxy.reload({ ...next.options, live: args.tail })
        warnOfRest(log, now, next)
        now = next
        return done
      })
      announce(proxy, format, { madeUp: first.options.admin?.token === undefined, scrub: secrets.scrub })
      return {
        ...runnable(proxy),
        reload: () => following.again(),
        close: async how => {
          await following.close()
          await proxy.close(how)
        }
      }
    },
    { reloads: true }
  )
}

/** Everything that was ever a secret here: sessions that began with an older file go on, and so do its servers. */
class Secrets {
  readonly #known = new Set<string>()
  #redactor = new Redactor({})

  constructor(secrets: readonly string[]) {
    this.add(secrets)
  }

  add(secrets: readonly string[]): void {
    const before = this.#known.size
    for (const secret of secrets) if (this.#known.size < MAX_SECRETS) this.#known.add(secret)
    if (this.#known.size > before) this.#redactor = new Redactor({ secrets: [...this.#known] })
  }

  readonly scrub = (text: string): string => this.#redactor.scrub(text)
}

/** Of all files that one process has read. */
const MAX_SECRETS = 10_000

const SECRET_VARIABLES = [
  ...['CATFLAP_TOKEN', 'CATFLAP_ADMIN_TOKEN'],
  ...['CATFLAP_STORE_URL', 'CATFLAP_STORE_KEY', 'CATFLAP_CLUSTER_KEY']
]

/** On the command line these are secrets; a file says itself what it takes from where. */
function warnOfEnvironment(log: Log, taken: readonly string[]): void {
  for (const name of SECRET_VARIABLES) {
    const value = process.env[name]
    if (value && !taken.includes(value))
      log.warn('unused-variable', `${name} is set, but the file does not take it: write \${${name}} where it belongs`)
  }
}

/** What lasts as long as the process does not follow the file; nobody is left to believe that it does. */
function warnOfRest(log: Log, before: Configuration, now: Configuration): void {
  const parts = ({ options, metrics, accessLog, log: how }: Configuration): Record<string, unknown> => ({
    ...{ admin: options.admin, metrics, accessLog, log: how }
  })
  const [was, is] = [parts(before), parts(now)]
  const changed = Object.keys(is).filter(name => !isDeepStrictEqual(was[name], is[name]))
  if (changed.length > 0)
    log.warn('restart-needed', `${changed.join(', ')}: what has changed there needs a restart`, { keys: changed })
}

function optionsOf({ options, metrics, accessLog }: Configuration, scrub: (text: string) => string): ReverseOptions {
  return {
    ...options,
    metrics,
    ...accessLogOf(accessLog, scrub)
  }
}

function accessLogOf(
  format: 'text' | 'json' | 'off',
  scrub: (text: string) => string
): Pick<ReverseOptions, 'accessLog'> {
  if (format === 'off') return {}
  const write = descriptorWriter(STDOUT)
  return { accessLog: { format, write, scrub } }
}

const STDOUT = 1

function logOf({ level, format }: Configuration['log'], scrub: (text: string) => string): Log {
  const write = lineWriter(process.stderr)
  return createLog({ level, format, write, scrub })
}

function runnable(proxy: Reverse): Runnable {
  return { url: proxy.origins[0], close: how => proxy.close(how) }
}

function allSecrets({ routes, ...shared }: ReverseOptions): string[] {
  const ofRoutes = Object.values(routes).flatMap(({ tokens, targets }) =>
    [targets].flat().flatMap(target => secretsOf({ tokens, target }))
  )
  return [...ofRoutes, ...sharedSecrets(shared)]
}

/** The lines people wait for: they are printed whatever the log level. A token that was `madeUp` nobody could know otherwise. */
function announce(
  proxy: Reverse,
  format: 'text' | 'json',
  { madeUp, scrub }: { readonly madeUp: boolean; readonly scrub: (text: string) => string }
): void {
  const routes = proxy.routes.map(({ name, path, host, route }) => ({
    name,
    url: `${proxy.origins[0]}${path}`,
    ...(host !== undefined && { host }),
    target: scrub(route.core.target.label)
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
