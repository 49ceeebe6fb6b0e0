/**
 * One of several instances of catflap that have a Redis in common.
 *
 *   node bench/programs/shared.ts LIBRARY PORT REDIS LEASE TARGET
 */
import { pathToFileURL } from 'node:url'
import type * as Catflap from '../../src/index.ts'

const [library, port, url, lease, target] = process.argv.slice(2)
const { createForward } = (await import(pathToFileURL(library!).href)) as typeof Catflap

const proxy = await createForward({
  target: JSON.parse(target!) as Catflap.TargetOptions,
  listen: { port: Number(port) },
  sharedStore: { url: url!, keys: [Buffer.alloc(32, 7)], lease: Number(lease) },
  cluster: { listen: {}, keys: ['what all instances of this benchmark have'] },
  sessionLoss: 'reinitialize',
  settings: { maxSessions: 50_000 }
})
process.once('SIGTERM', () => void proxy.close({ drainTimeout: 0 }).then(() => process.exit(0)))
