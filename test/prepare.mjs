// Builds tap's plugins after an install (npm's `prepare`), so that `npm test` runs TypeScript as Node does. Where development
// dependencies are left out, or somebody packs without them, there is nothing to build.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const tap = fileURLToPath(new URL('../node_modules/tap/dist/esm/run.mjs', import.meta.url))

if (existsSync(tap)) {
  const root = fileURLToPath(new URL('..', import.meta.url))
  const { status } = spawnSync(process.execPath, [tap, 'build'], { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] })
  process.exitCode = status ?? 1
}
