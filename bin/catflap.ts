#!/usr/bin/env node
// Nothing here or in what it imports first may need a newer Node than the one it has to refuse.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)

if (major < 22 || (major === 22 && minor < 19)) {
  process.stderr.write(
    `catflap needs Node.js 22.19 or later; this is ${process.versions.node}. Install a newer one from nodejs.org.\n`
  )
  process.exitCode = 1
} else {
  const { main } = await import('../src/cli/main.ts')
  await main(process.argv.slice(2))
}
