import { createLog, type Log } from '../log.ts'
import { createForward, type Forward, type ForwardOptions } from '../proxy/forward.ts'
import { secretsOf } from '../proxy/secrets.ts'
import { TapeError } from '../tape/format.ts'
import { Redactor } from '../tape/redact.ts'
import { forwardOptionsOf } from './forward-args.ts'
import type { ForwardArgs } from './forward-options.ts'
import { lineWriter } from './line-writer.ts'
import { runUntilStopped } from './run.ts'
import { warnOfStore } from './store-args.ts'
import { UsageError } from './usage.ts'

/** `catflap forward`: its options are in forward-options.ts. */
export async function forward(args: ForwardArgs): Promise<void> {
  await runForward(args, forwardOptionsOf(args))
}

/** Runs a proxy as these options say. Where it leads to a tape, what became of the replay is told at the end, and is the exit code. */
export async function runForward(args: ForwardArgs, options: ForwardOptions, strictUnused = false): Promise<void> {
  const redactor = redactorOf(args, options)
  const log = createLog({
    level: args['log-level'],
    format: args['log-format'],
    write: lineWriter(process.stderr),
    scrub: redactor.scrub
  })
  if (args.insecure)
    log.warn(
      'insecure',
      "the server's certificate is not verified (--insecure): anybody in between can read and change everything"
    )
  if (options.sharedStore) warnOfStore(log, args)
  await runUntilStopped(log, async () => {
    const proxy = await createForward({ ...options, log, redactor, live: args.tail })
    announce(proxy, args, log)
    const { url, ended } = proxy
    const close: Forward['close'] = async how => {
      await proxy.close(how)
      const summary = proxy.replay
      if (!summary) return
      const { conclude } = await import('./replay-summary.ts')
      conclude(summary, { format: args['log-format'], strictUnused, scrub: redactor.scrub })
    }
    return { ...(url !== undefined && { url }), ended, close }
  })
}

function redactorOf(args: ForwardArgs, options: ForwardOptions): Redactor {
  try {
    return new Redactor({
      redactHeaders: args['redact-header'],
      redactJson: args['redact-json'],
      secrets: secretsOf(options)
    })
  } catch (error) {
    if (error instanceof TapeError) throw new UsageError(`--redact-json: ${error.message}`)
    throw error
  }
}

/** The one line people wait for: it is printed whatever the log level. */
function announce(proxy: Forward, args: ForwardArgs, log: Log): void {
  const tape = proxy.tape === undefined ? '' : `, recording to ${proxy.tape}`
  const metrics = proxy.metricsUrl === undefined ? '' : `, metrics on ${proxy.metricsUrl}`
  const madeUp = process.env.CATFLAP_ADMIN_TOKEN ? '' : ` (token ${proxy.adminToken})`
  const admin = proxy.adminUrl === undefined ? '' : `, admin on ${proxy.adminUrl}${madeUp}`
  if (args.stdio)
    return log.debug('listening', `serving stdio, forwarding to ${proxy.target}${tape}${metrics}`, {
      url: null,
      target: proxy.target,
      ...(proxy.metricsUrl !== undefined && { metrics: proxy.metricsUrl })
    })
  if (args['log-format'] === 'json') {
    const event = {
      event: 'listening',
      url: proxy.url,
      target: proxy.target,
      ...(proxy.tape !== undefined && { tape: proxy.tape }),
      ...(proxy.metricsUrl !== undefined && { metrics: proxy.metricsUrl }),
      ...(proxy.adminUrl !== undefined && { admin: proxy.adminUrl }),
      ...(proxy.adminUrl !== undefined && madeUp !== '' && { adminToken: proxy.adminToken })
    }
    process.stderr.write(`${JSON.stringify(event)}\n`)
  } else {
    const open = isEverywhere(args.listen) ? ' (and on every other address of this machine)' : ''
    lineWriter(process.stdout)(
      `catflap: listening on ${proxy.url}${open}, forwarding to ${proxy.target}${tape}${metrics}${admin}\n`
    )
  }
}

/** The URL names one address; a wildcard bind is open on all of them, which must not stay unsaid. */
function isEverywhere(listen: string | undefined): boolean {
  return /^(?:0\.0\.0\.0|\[::\]):/.test(listen ?? '')
}
