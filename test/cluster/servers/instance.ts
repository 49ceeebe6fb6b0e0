/** An instance made with the library: `node instance.ts reverse --config FILE`; `store` and `cluster` stand in the file. */
import { readFileSync } from 'node:fs'
import { lineWriter } from '../../../src/cli/line-writer.ts'
import { runUntilStopped } from '../../../src/cli/run.ts'
import { readConfig } from '../../../src/config/read.ts'
import { createReverse } from '../../../src/index.ts'
import { createLog } from '../../../src/log.ts'
import type { SharedStoreOptions, StoreFailure } from '../../../src/session/shared.ts'

interface Written {
  readonly store?: {
    readonly url: string
    readonly keys: readonly string[]
    readonly prefix: string
    readonly failure: StoreFailure
    readonly timeout: string
    readonly lease: string
  }
  readonly cluster?: { readonly keys: readonly string[] }
}

const file = process.argv[4]!
const { store, cluster, ...rest } = JSON.parse(readFileSync(file, 'utf8')) as Written
const { configuration, problems } = await readConfig(JSON.stringify(rest), { file })
if (configuration === undefined) throw new Error(JSON.stringify(problems))
const { options, metrics } = configuration

const log = createLog({ level: 'info', format: 'json', write: lineWriter(process.stderr) })
await runUntilStopped(log, async () => {
  const proxy = await createReverse({
    ...options,
    metrics,
    log,
    ...(store && { sharedStore: sharedStore(store) }),
    ...(cluster && { cluster: { listen: {}, keys: cluster.keys.map(content) } })
  })
  process.stderr.write(`${JSON.stringify({ event: 'listening' })}\n`)
  return { url: proxy.origins[0], close: how => proxy.close(how) }
})

function sharedStore({
  url,
  keys,
  prefix,
  failure,
  timeout,
  lease
}: NonNullable<Written['store']>): SharedStoreOptions {
  const times = { timeout: Number.parseInt(timeout, 10), lease: Number.parseInt(lease, 10) }
  return { url, keys: keys.map(key => Buffer.from(content(key), 'hex')), prefix, onFailure: failure, ...times }
}

/** Of a reference to a file. */
function content(reference: string): string {
  return readFileSync(reference.slice('file:'.length), 'utf8').trim()
}
